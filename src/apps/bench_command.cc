// octet bench: prefill and decode rates at several depths, beside the machine's memory bandwidth.
#include <octet/bench.h>
#include <octet/kv_cache_options.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "apps/bench_comparison.h"
#include "apps/bench_report.h"
#include "apps/cache_flags.h"
#include "apps/commands.h"
#include "apps/config_flag.h"
#include "apps/interruption.h"
#include "apps/loading_flags.h"
#include "apps/output_file.h"

namespace octet::apps {

namespace {

struct BenchFlags {
  BenchOptions options;
  LlamaCppFlags peers;
  std::string output;
  bool json = false;
};

BenchResult measure(const BenchFlags& flags) {
  return run_benchmark(flags.options, [&](const BenchResult& so_far) {
    if (!flags.json && so_far.rows.empty()) write_bench_header(std::cout, flags.options, so_far);
    if (!flags.json && !so_far.rows.empty()) write_bench_row(std::cout, flags.options, so_far);
    return !interrupted();
  });
}

Comparison measure_beside(const BenchFlags& flags, const LlamaCpp& peers) {
  return compare(flags.options, peers, [&](const Comparison& so_far) {
    if (!flags.json && so_far.octet.rows.empty())
      write_comparison_header(std::cout, flags.options, so_far.octet);
    if (!flags.json && !so_far.octet.rows.empty()) write_compared_depth(std::cout, so_far);
    return !interrupted();
  });
}

std::string measure_to_json(const BenchFlags& flags) {
  if (flags.peers.programs.empty()) return bench_json(flags.options, measure(flags));
  const LlamaCpp peers(flags.peers, flags.options);
  return comparison_json(flags.options, flags.peers, measure_beside(flags, peers));
}

int bench(const BenchFlags& flags) {
  install_interrupt_handler();
  std::optional<OutputFile> output;
  if (!flags.output.empty()) output.emplace(flags.output);
  try {
    const std::string json = measure_to_json(flags);
    if (flags.json) std::cout << json;
    if (output && !interrupted()) output->write(json);
  } catch (const Error&) {
    if (!interrupted()) throw;  // else it is a peer, which Ctrl-C reached too
  }
  finish_output();
  return interrupted() ? kInterrupted : kSuccess;
}

void add_peer_flags(CLI::App& app, LlamaCppFlags& peers) {
  CLI::Option* compare =
      app.add_option(
             "--compare", peers.programs,
             "llama-bench=PATH, for batches of more than 1 llama-batched-bench=PATH: measure it too, in "
             "turn with octet; repeatable")
          ->allow_extra_args(false);
  app.add_option("--gguf", peers.gguf, "With --compare: the same model in llama.cpp's format")->needs(compare);
  app.add_option("--compare-cache", peers.cache_types, "With --compare: llama.cpp's cache types [f16,q8_0]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->needs(compare);
}

}  // namespace

Command add_bench_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("bench", "Measure prefill and decode at several context depths");
  app->footer(
      "Examples:\n"
      "  octet bench models/smollm2-135m-instruct --depth 0,2048,7000 --kv-cache-dtype auto,fp8_e4m3\n"
      "  octet bench models/smollm2-135m-instruct --depth 128,2000 --batch 1,8,32 --prefill 0\n"
      "  octet bench MODEL_DIR --depth 7000 --compare llama-bench=/usr/bin/llama-bench --gguf model-bf16.gguf");
  const auto flags = std::make_shared<BenchFlags>();
  BenchOptions& options = flags->options;
  app->add_option("MODEL_DIR", options.model, "Checkpoint directory, its Hugging Face name, or a GGUF file")
      ->required();
  app->add_option("--depth", options.depths, "Tokens in the cache before what is timed [0,2048,7000]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_option("--batch", options.batches,
                  "Sequences that decode together, each with a cache of its own [1]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_flag("--mixed-lengths", options.mixed_lengths,
                "Batches of sequences from half to one and a half times the depth, not all alike");
  app->add_option("--kv-cache-dtype", options.kv_cache_dtypes,
                  "auto, fp8, fp8_e4m3, fp8_e5m2, fp8_per_token_head, int8_per_token_head, "
                  "int8_hadamard_per_token_head, float16, bfloat16 [auto,fp8_e4m3,fp8_e5m2]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(kv_cache_dtype_names()));
  add_cache_dtype_flags(*app, options.kv_cache_dtype_k, options.kv_cache_dtype_v,
                        options.kv_cache_dtype_skip_layers);
  add_attention_math_flag(*app, options.attention_math);
  app->add_option("--prefill", options.prefill_tokens, "Tokens of prompt to time, 0 = none [512]");
  app->add_option("--decode", options.decode_tokens,
                  "Tokens to decode and time, of each sequence; 0 = none [64]");
  app->add_flag("--start", options.start,
                "Measure loading and the first token too, in a process that runs already");
  app->add_option("--runs", options.runs, "Repetitions of each figure [3]");
  app->add_option("--block-size", options.block_size,
                  "Tokens in a block of the cache: 8, 16, 32, 64 or 128 [64]");
  add_loading_flags(*app, options.dtype, options.safetensors_load_strategy, options.quantization);
  app->add_option("--threads", options.threads, "Threads [the physical cores]");
  app->add_option("--isa", options.isa,
                  "Kernels: reference, avx2, avx512 or avx512_bf16 [$OCTET_ISA, else the fastest]");
  app->add_flag("--json", flags->json, "As one JSON object");
  app->add_option("--output", flags->output, "Write the JSON object to this file too");
  add_peer_flags(*app, flags->peers);
  add_config_flag(*app);
  return {app, [flags] { return bench(*flags); }};
}

}  // namespace octet::apps
