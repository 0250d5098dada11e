// octet generate: prompts in, answers out.
#include <octet/llm.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/answers.h"
#include "apps/commands.h"
#include "apps/config_flag.h"
#include "apps/engine_flags.h"
#include "apps/interruption.h"
#include "apps/prompts.h"
#include "apps/refuse_flag.h"
#include "apps/seed_flag.h"

namespace octet::apps {

namespace {

// The command line. What is nothing here was not given: generation_config.json decides, else the default.
struct GenerateFlags {
  EngineFlags engine;

  std::vector<std::string> prompts;
  std::vector<std::string> prompt_files;
  std::vector<std::string> prompt_token_ids;
  bool chat = false;
  std::optional<std::string> system;
  // Which of the three kinds each prompt is, in the order of the command line.
  CLI::Option* prompt_option = nullptr;
  CLI::Option* file_option = nullptr;
  CLI::Option* ids_option = nullptr;

  std::optional<int> max_tokens;
  std::optional<double> temperature, top_p, min_p;
  std::optional<int> top_k;
  std::optional<double> repetition_penalty, presence_penalty, frequency_penalty;
  std::vector<std::string> stop;
  std::optional<std::uint64_t> seed;
  std::optional<int> logprobs;
  bool ignore_eos = false;
  bool json = false;
};

void add_prompt_flags(CLI::App& app, GenerateFlags& flags) {
  flags.prompt_option = repeatable(app.add_option("--prompt", flags.prompts, "A prompt; repeatable"));
  flags.file_option = repeatable(app.add_option("--prompt-file", flags.prompt_files,
                                                "A file that is one prompt (- = standard input); repeatable"));
  flags.ids_option = repeatable(
      app.add_option("--prompt-token-ids", flags.prompt_token_ids, "A prompt as token ids: 1,2,3; repeatable"));
  app.add_flag("--chat", flags.chat, "Each prompt is a user's message, put through the chat template");
  app.add_option("--system", flags.system, "With --chat: the system message");
}

void add_sampling_flags(CLI::App& app, GenerateFlags& flags) {
  app.add_option("--max-tokens", flags.max_tokens, "New tokens, at most [generation_config.json, else 16]");
  app.add_option("--temperature", flags.temperature, "0 = greedy [generation_config.json, else 1]");
  app.add_option("--top-p", flags.top_p, "Nucleus, (0, 1] [generation_config.json, else 1]");
  app.add_option("--top-k", flags.top_k,
                 "Likeliest tokens to draw from, 0 = all [generation_config.json, else 0]");
  app.add_option("--min-p", flags.min_p, "Least probability relative to the likeliest, [0, 1] [0]");
  app.add_option("--repetition-penalty", flags.repetition_penalty,
                 "> 1 discourages tokens of prompt and answer [generation_config.json, else 1]");
  app.add_option("--presence-penalty", flags.presence_penalty,
                 "-2 to 2, once for each token in the answer [0]");
  app.add_option("--frequency-penalty", flags.frequency_penalty, "-2 to 2, for each time it is there [0]");
  repeatable(app.add_option("--stop", flags.stop, "End before this text; repeatable"));
  app.add_option("--seed", flags.seed, "For the same draws each time")->check(check_seed);
  app.add_option("--logprobs", flags.logprobs, "Also give the N likeliest tokens at each step");
  app.add_flag("--ignore-eos", flags.ignore_eos, "Go on past the end token");
  app.add_flag("--json", flags.json, "One JSON object a prompt a line");
}

SamplingParams sampling_params(const GenerateFlags& flags, SamplingParams params) {
  if (flags.max_tokens) params.max_tokens = flags.max_tokens;
  if (flags.temperature) params.temperature = *flags.temperature;
  if (flags.top_p) params.top_p = *flags.top_p;
  if (flags.top_k) params.top_k = *flags.top_k;
  if (flags.min_p) params.min_p = *flags.min_p;
  if (flags.repetition_penalty) params.repetition_penalty = *flags.repetition_penalty;
  if (flags.presence_penalty) params.presence_penalty = *flags.presence_penalty;
  if (flags.frequency_penalty) params.frequency_penalty = *flags.frequency_penalty;
  params.stop = flags.stop;
  params.seed = flags.seed;
  params.logprobs = flags.logprobs;
  params.ignore_eos = flags.ignore_eos;
  return params;
}

// In the order of the command line, whatever their kinds.
std::vector<Prompt> gather_prompts(const CLI::App& app, const GenerateFlags& flags) {
  std::vector<Prompt> prompts;
  std::size_t text = 0, file = 0, ids = 0;
  for (const CLI::Option* option : app.parse_order()) {
    if (option == flags.prompt_option) prompts.emplace_back(flags.prompts.at(text++));
    if (option == flags.file_option) prompts.emplace_back(read_prompt_file(flags.prompt_files.at(file++)));
    if (option == flags.ids_option) prompts.emplace_back(parse_token_ids(flags.prompt_token_ids.at(ids++)));
  }
  if (prompts.empty())
    refuse_flag("--prompt", "expected a --prompt, --prompt-file or --prompt-token-ids, found none");
  if (flags.chat && ids > 0)
    refuse_flag("--prompt-token-ids", "token ids cannot go through the template of --chat");
  if (flags.system && !flags.chat) refuse_flag("--system", "has a meaning only with --chat");
  return prompts;
}

std::vector<RequestOutput> answer(LLM& llm, const GenerateFlags& flags, const std::vector<Prompt>& prompts,
                                  const SamplingParams& params, const TextCallback& on_text) {
  if (!flags.chat) return llm.generate(prompts, params, on_text);
  std::vector<std::vector<ChatMessage>> conversations;
  for (const Prompt& prompt : prompts) {
    std::vector<ChatMessage>& conversation = conversations.emplace_back();
    if (flags.system) conversation.push_back({"system", *flags.system});
    conversation.push_back({"user", prompt.text});
  }
  return llm.chat(conversations, params, on_text);
}

int generate(const CLI::App& app, const GenerateFlags& flags) {
  LLMOptions options = engine_options(flags.engine);
  const std::vector<Prompt> prompts = gather_prompts(app, flags);
  sampling_params(flags, {}).validate();  // before the time that loading takes
  install_interrupt_handler();
  LLM llm(std::move(options));
  const InterruptGuard guard(llm);
  std::size_t said = 0;
  const auto say_notices = [&] {
    for (; said < llm.notices().size(); ++said) std::cerr << "octet: notice: " << llm.notices()[said] << "\n";
  };
  say_notices();

  const bool stream = prompts.size() == 1 && !flags.json && isatty(STDOUT_FILENO) != 0;
  TextCallback on_text;
  if (stream)
    on_text = [](std::size_t, const std::string& text) { return !(std::cout << text).flush().fail(); };
  const std::vector<RequestOutput> outputs =
      answer(llm, flags, prompts, sampling_params(flags, llm.default_sampling_params()), on_text);
  if (stream) {
    std::cout << "\n";
    write_logprobs(std::cout, outputs.front().outputs.front());
  } else if (flags.json) {
    write_json_answers(std::cout, outputs, llm);
  } else {
    write_plain_answers(std::cout, outputs);
  }
  finish_output();
  say_notices();  // the first prompt may have set the scales
  write_summary(std::cerr, outputs, llm);
  return interrupted() ? kInterrupted : kSuccess;
}

}  // namespace

Command add_generate_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("generate", "Generate text from a checkpoint");
  app->footer(
      "Example:\n  octet generate models/smollm2-135m-instruct --chat --prompt 'Why is the sky blue?' \\\n"
      "      --kv-cache-dtype fp8 --max-tokens 64 --temperature 0");
  const auto flags = std::make_shared<GenerateFlags>();
  add_engine_flags(*app, flags->engine);
  add_prompt_flags(*app, *flags);
  add_sampling_flags(*app, *flags);
  add_config_flag(*app, {"prompt", "prompt-file", "prompt-token-ids"});
  return {app, [app, flags] { return generate(*app, *flags); }};
}

}  // namespace octet::apps
