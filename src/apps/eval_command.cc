// octet eval: what a KV cache costs in quality, for any set of caches side by side.
#include <octet/evaluation.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "apps/commands.h"
#include "apps/evaluation_input.h"
#include "apps/evaluation_json.h"
#include "apps/evaluation_table.h"
#include "apps/interruption.h"
#include "apps/output_file.h"
#include "apps/progress_bar.h"

namespace octet::apps {

namespace {

struct EvalFlags {
  EvaluationOptions options;
  std::string text;
  bool needle = false;
  bool json = false;
  bool every_head = false;
  std::string html;
};

EvaluationOptions evaluation_options(const EvalFlags& flags) {
  EvaluationOptions options = flags.options;
  options.configs = read_configs(options.configs, options.model);
  if (!flags.text.empty()) options.documents = read_documents(flags.text);
  if (flags.needle && options.needle_lengths.empty()) options.needle_lengths = {512, 1024, 2048};
  if (options.documents.empty() && options.dataset.empty() && options.needle_lengths.empty())
    throw Error(ErrorCode::invalid_argument,
                "expected --text FILE, --dataset FILE or --needle, found none of them", "--text");
  return options;
}

int evaluate(const EvalFlags& flags) {
  std::optional<OutputFile> html;
  if (!flags.html.empty()) html.emplace(flags.html);
  const EvaluationOptions options = evaluation_options(flags);
  install_interrupt_handler();
  std::optional<ProgressBar> bar;
  bar.emplace("tokens", ProgressBar::Elsewhere::tasks);
  const EvaluationResult result = run_evaluation(options, [&](const EvaluationProgress& progress) {
    bar->show(progress.measurement, progress.done, progress.total);
    return !interrupted();
  });
  bar.reset();
  if (!result.complete) {
    std::cerr << "octet: interrupted: nothing was written\n";
    return kInterrupted;
  }
  for (const std::string& notice : result.notices) std::cerr << "octet: notice: " << notice << "\n";
  if (html) html->write(evaluation_page(result));
  if (flags.json)
    std::cout << evaluation_json(result, true) << "\n";
  else
    write_evaluation(std::cout, result, flags.every_head);
  finish_output();
  return kSuccess;
}

void add_text_flags(CLI::App& app, EvalFlags& flags) {
  EvaluationOptions& options = flags.options;
  app.add_option("--text", flags.text, "A text file, - for standard input");
  app.add_option("--dataset", options.dataset,
                 "Samples: .jsonl with messages, text, prompt and completion, or input_ids; or .txt");
  app.add_option("--num-samples", options.dataset_samples, "Samples to use, at most [512]");
  app.add_option("--seed", options.dataset_seed, "Of the choice of samples and their order [42]");
  app.add_option("--context", options.context,
                 "Tokens that the model reads at a time [2048, or max_position_embeddings]");
  app.add_option("--stride", options.stride,
                 "Tokens from one window to the next; less than --context gives every token more of what came "
                 "before [--context]");
  app.add_option("--min-context", options.min_context,
                 "Tokens that must stand before a position in its window for it to be scored [0]");
  app.add_option("--max-tokens", options.max_tokens, "Of the text, from its start, 0 = all [0]");
}

void add_measurement_flags(CLI::App& app, EvalFlags& flags) {
  EvaluationOptions& options = flags.options;
  app.add_option("--layer-tokens", options.layer_tokens,
                 "Tokens for the errors of layers and heads, 0 = none [1024]");
  app.add_option("--drift-prompts", options.drift_prompts,
                 "Beginnings from the text to continue greedily, 0 = none [8]");
  app.add_option("--drift-prompt-tokens", options.drift_prompt_tokens, "Tokens of each [64]");
  app.add_option("--drift-tokens", options.drift_tokens, "New tokens of each, at most [128]");
  app.add_flag("--needle", flags.needle, "Hide a pass key in texts and ask for it");
  app.add_option("--needle-lengths", options.needle_lengths,
                 "Tokens of text and question, implies --needle [512,1024,2048]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--needle-depths", options.needle_depths,
                 "Percent of the text before the pass key [0,25,50,75,100]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--needle-samples", options.needle_samples, "Texts for each length and depth [1]");
  app.add_option("--needle-seed", options.needle_seed, "Of the texts and pass keys [1]");
}

}  // namespace

Command add_eval_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("eval", "Measure what a KV cache costs in quality");
  app->footer(
      "Examples:\n  octet eval models/smollm2-135m-instruct --text book.txt --configs auto,fp8_e4m3,fp8_e5m2\n"
      "  octet eval MODEL --text book.txt --configs fp8,CALIBRATED_DIR,CALIBRATED_DIR:fp8_e5m2 --html "
      "report.html\n"
      "  octet eval MODEL --text book.txt --configs fp8,fp8+skip=0,1,fp8+k=bfloat16 --json\n"
      "  octet eval MODEL --text book.txt --configs fp8,fp8+scales=prompt,fp8+scales=bound+strategy=attn_head\n"
      "  octet eval MODEL --needle --needle-lengths 1024,4096\n"
      "What the figures mean: docs/quality.md");
  const auto flags = std::make_shared<EvalFlags>();
  EvaluationOptions& options = flags->options;
  app->add_option("MODEL_DIR", options.model, "Checkpoint directory, its Hugging Face name, or a GGUF file")
      ->required();
  app->add_option(
         "--configs", options.configs,
         "Caches to compare: a kv-cache-dtype, another checkpoint of the model as DIR or DIR:DTYPE, or a file "
         "of octet plan; "
         "each with +k=DTYPE, +v=DTYPE, +skip=LAYERS, +scales=random|prompt|bound (as --calculate-kv-scales), "
         "+strategy=attn_head, +math=MATH (as --attention-math), +dtype=bfloat16 and +quantization=fp8|int8 "
         "where "
         "wanted [auto,fp8_e4m3,fp8_e5m2]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_option("--baseline", options.baseline,
                  "What to compare with [auto; float16 where the checkpoint asks for an FP8 cache]");
  add_text_flags(*app, *flags);
  add_measurement_flags(*app, *flags);
  app->add_flag("--heads", flags->every_head, "Print the errors of every layer and head");
  app->add_flag("--json", flags->json, "As one JSON object");
  app->add_option("--html", flags->html, "Also write a page with charts to this file");
  app->add_option("--block-size", options.block_size, "Tokens in a block of the cache [64]");
  app->add_option("--threads", options.threads, "Threads [the physical cores]");
  app->add_option("--isa", options.isa,
                  "Kernels: reference, avx2, avx512 or avx512_bf16 [$OCTET_ISA, else the fastest]");
  return {app, [flags] { return evaluate(*flags); }};
}

}  // namespace octet::apps
