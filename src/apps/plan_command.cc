// octet plan: which KV cache costs the least quality in a given memory, measured.
#include <octet/cache_plan.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "apps/evaluation_input.h"
#include "apps/interruption.h"
#include "apps/output_file.h"
#include "apps/progress_bar.h"
#include "apps/prompts.h"

namespace octet::apps {

namespace {

struct PlanFlags {
  CachePlanOptions options;
  std::string kv_budget;
  std::string text;
  std::string output;
  bool json = false;
};

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

nlohmann::ordered_json measured_json(const MeasuredCache& cache) {
  return {{"config", cache.config},
          {"dtype", cache.dtype},
          {"scale_source", cache.scale_source},
          {"scale_strategy", cache.scale_strategy},
          {"bytes_per_token", cache.bytes_per_token},
          {"tokens", cache.tokens},
          {"fits", cache.fits},
          {"mean_kl", cache.mean_kl},
          {"p99_kl", cache.p99_kl},
          {"top1_agreement", cache.top1_agreement},
          {"perplexity", cache.perplexity}};
}

std::string plan_json(const CachePlan& plan) {
  nlohmann::ordered_json candidates = nlohmann::ordered_json::array();
  for (const MeasuredCache& cache : plan.candidates) candidates.push_back(measured_json(cache));
  const nlohmann::ordered_json document = {{"model", plan.model},
                                           {"kv_budget", plan.kv_budget},
                                           {"target_tokens", plan.target_tokens},
                                           {"baseline", measured_json(plan.baseline)},
                                           {"candidates", candidates},
                                           {"layers_measured_with", plan.base},
                                           {"layer_kl", plan.layer_kl},
                                           {"plan", measured_json(plan.chosen)},
                                           {"skip_layers", plan.skip_layers},
                                           {"octet_arguments", plan.octet_arguments},
                                           {"vllm_arguments", plan.vllm_arguments},
                                           {"vllm_note", plan.vllm_note}};
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

// ["2","10"] of "2,10": vLLM's flag takes text.
std::string yaml_list(const std::string& commas) {
  nlohmann::json items = nlohmann::json::array();
  for (std::size_t begin = 0; begin <= commas.size();) {
    const std::size_t comma = std::min(commas.find(',', begin), commas.size());
    items.push_back(commas.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return items.dump();
}

// The arguments as YAML that octet generate --config reads, and vllm serve --config where vLLM has such a
// cache: both take the same flags then, and a list for a flag with several values.
std::string plan_yaml(const CachePlan& plan) {
  std::string yaml = "# octet plan: " + plan.chosen.dtype + ", mean KL " + std::to_string(plan.chosen.mean_kl) +
                     " nats to a 16-bit cache, " + std::to_string(plan.chosen.bytes_per_token) +
                     " bytes a token\n# octet generate --config THIS_FILE --prompt ...\n";
  yaml += plan.vllm_arguments.empty() ? "# not for vLLM: " + plan.vllm_note + "\n"
                                      : "# vllm serve --config THIS_FILE\n";
  const std::vector<std::string>& arguments = plan.octet_arguments;
  yaml += "model: " + nlohmann::json(arguments.front()).dump() + "\n";
  for (std::size_t i = 1; i < arguments.size();) {
    std::string flag = arguments[i++].substr(2);
    const std::size_t equals = flag.find('=');
    std::string value = equals == std::string::npos ? arguments[i++] : flag.substr(equals + 1);
    flag.resize(std::min(equals, flag.size()));
    if (flag == "kv-cache-dtype-skip-layers") value = yaml_list(value);
    yaml += flag + ": " + value + "\n";
  }
  return yaml;
}

void write_row(std::ostream& out, std::size_t width, const MeasuredCache& cache, const char* note) {
  char line[320];
  std::snprintf(line, sizeof line, "%8lld %12lld  %-4s %10.6f %9.5f %8.2f%%%s",
                static_cast<long long>(cache.bytes_per_token), static_cast<long long>(cache.tokens),
                cache.fits ? "yes" : "no", cache.mean_kl, cache.p99_kl, 100 * cache.top1_agreement, note);
  out << std::left << std::setw(static_cast<int>(width)) << cache.config << " " << line << "\n";
}

void write_layers(std::ostream& out, const CachePlan& plan) {
  std::vector<int> order;
  for (int layer = 0; layer < static_cast<int>(plan.layer_kl.size()); ++layer) order.push_back(layer);
  const auto kl = [&](int layer) { return plan.layer_kl[static_cast<std::size_t>(layer)]; };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return kl(a) > kl(b); });
  out << "\nmean KL with one layer alone as " << plan.base << ", worst first:\n";
  for (std::size_t i = 0; i < order.size(); ++i) {
    char cell[32];
    std::snprintf(cell, sizeof cell, "%4d %.6f%s", order[i], kl(order[i]),
                  i % 6 == 5 || i + 1 == order.size() ? "\n" : "  ");
    out << cell;
  }
}

void write_plan(std::ostream& out, const CachePlan& plan) {
  out << plan.target_tokens << " tokens in " << plan.kv_budget << " bytes of KV cache\n\n";
  char header[200];
  std::snprintf(header, sizeof header, "%8s %12s  %-4s %10s %9s %9s\n", "B/token", "tokens", "fits", "mean KL",
                "99% KL", "same top");
  std::size_t width = plan.chosen.config.size();
  for (const MeasuredCache& cache : plan.candidates) width = std::max(width, cache.config.size());
  out << std::left << std::setw(static_cast<int>(width)) << "cache"
      << " " << header;
  write_row(out, width, plan.baseline, "");
  for (const MeasuredCache& cache : plan.candidates) write_row(out, width, cache, "");
  if (!plan.skip_layers.empty()) write_row(out, width, plan.chosen, "  <- the plan");
  if (!plan.layer_kl.empty()) write_layers(out, plan);
  out << "\nplan: " << plan.chosen.config << " (" << plan.chosen.dtype
      << "; scales: " << plan.chosen.scale_source << ", strategy " << plan.chosen.scale_strategy
      << ")\n  octet generate " << joined(plan.octet_arguments) << "\n  ";
  if (plan.vllm_arguments.empty())
    out << "not for vLLM: " << plan.vllm_note << "; --for-vllm chooses among the caches that it has\n";
  else
    out << "vllm serve " << joined(plan.vllm_arguments) << "\n";
}

int plan(const PlanFlags& flags) {
  std::optional<OutputFile> output;
  if (!flags.output.empty()) output.emplace(flags.output);
  CachePlanOptions options = flags.options;
  options.configs = read_configs(options.configs, options.model);
  if (!flags.kv_budget.empty()) options.kv_budget = parse_byte_size(flags.kv_budget, "--kv-budget");
  if (!flags.text.empty()) options.documents = read_documents(flags.text);
  if (options.documents.empty() && options.dataset.empty())
    throw Error(ErrorCode::invalid_argument, "expected --text FILE or --dataset FILE, found neither", "--text");
  install_interrupt_handler();
  std::optional<ProgressBar> bar;
  bar.emplace("tokens", ProgressBar::Elsewhere::tasks);
  const CachePlan made = plan_cache(options, [&](const EvaluationProgress& progress) {
    bar->show(progress.measurement, progress.done, progress.total);
    return !interrupted();
  });
  bar.reset();
  if (!made.complete) {
    std::cerr << "octet: interrupted: nothing was written\n";
    return kInterrupted;
  }
  if (output) output->write(plan_yaml(made));
  if (flags.json)
    std::cout << plan_json(made);
  else
    write_plan(std::cout, made);
  finish_output();
  return kSuccess;
}

}  // namespace

Command add_plan_command(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("plan", "Choose the KV cache that costs the least quality in a memory");
  app->footer(
      "Examples:\n  octet plan models/smollm2-135m-instruct --kv-budget 100M --target-tokens 8192 --text "
      "book.txt\n"
      "  octet plan MODEL --kv-budget 2G --target-tokens 65536 --text book.txt \\\n"
      "      --configs fp8,CALIBRATED_DIR --output plan.yaml\n"
      "  octet generate --config plan.yaml --prompt 'Why?'\n"
      "  vllm serve --config plan.yaml");
  const auto flags = std::make_shared<PlanFlags>();
  CachePlanOptions& options = flags->options;
  app->add_option("MODEL_DIR", options.model, "Checkpoint directory, its Hugging Face name, or a GGUF file")
      ->required();
  app->add_option(
      "--kv-budget", flags->kv_budget,
      "Bytes for the cache, or a number with k, m, g, t (1000s) or K, M, G, T (1024s) [a quarter of the "
      "free memory]");
  app->add_option("--target-tokens", options.target_tokens,
                  "Tokens that must fit, of all sequences together [max_position_embeddings]");
  app->add_option("--text", flags->text, "The text to measure with, - for standard input");
  app->add_option("--dataset", options.dataset, "Samples to measure with, as octet eval takes them");
  app->add_option("--configs", options.configs,
                  "Candidates, as octet eval takes them [every 8-bit dtype, and FP8 values with keys of int8 "
                  "or 16 bits]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_flag("--for-vllm", options.for_vllm, "Choose among the caches that vLLM has");
  app->add_option("--context", options.context,
                  "Tokens that the model reads at a time [2048, or max_position_embeddings]");
  app->add_option("--max-tokens", options.max_tokens, "Of the text, for the candidates, 0 = all [4096]");
  app->add_option("--layer-tokens", options.layer_tokens, "Of the text, for each layer [1024]");
  app->add_option(
      "--output", flags->output,
      "Also write the plan to this file, as YAML for octet generate --config and vllm serve --config");
  app->add_flag("--json", flags->json, "As one JSON object");
  app->add_option("--block-size", options.block_size, "Tokens in a block of the cache [64]");
  app->add_option("--threads", options.threads, "Threads [the physical cores]");
  app->add_option("--isa", options.isa,
                  "Kernels: reference, avx2, avx512 or avx512_bf16 [$OCTET_ISA, else the fastest]");
  return {app, [flags] { return plan(*flags); }};
}

}  // namespace octet::apps
