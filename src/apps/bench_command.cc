// octet bench: prefill and decode rates at several depths, beside the machine's memory bandwidth.
#include <octet/bench.h>
#include <octet/kv_cache_options.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/cache_flags.h"
#include "apps/commands.h"
#include "apps/config_flag.h"
#include "apps/interruption.h"
#include "apps/loading_flags.h"

namespace octet::apps {

namespace {

using Json = nlohmann::ordered_json;

struct BenchFlags {
  BenchOptions options;
  bool json = false;
};

std::string line(const char* pattern, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::string rate_text(const BenchRate& rate) {
  if (rate.median == 0) return "-";
  return line("%.1f (%.1f-%.1f)", rate.median, rate.least, rate.most);
}

// Of the first column: the longest name, and some space.
int name_width(const BenchFlags& flags) {
  std::size_t width = 10;
  for (const std::string& name : flags.options.kv_cache_dtypes) width = std::max(width, name.size());
  return static_cast<int>(width);
}

void write_header(std::ostream& out, const BenchFlags& flags, const BenchResult& result) {
  const BenchOptions& options = flags.options;
  out << options.model << ", " << result.isa << ", " << result.threads << " threads, " << result.dtype
      << " activations; prefill of " << options.prefill_tokens << " and decode of " << options.decode_tokens
      << " tokens, median (range) of " << options.runs << " runs\n"
      << line(
             "memory is read at %.1f GB/s; one step of decoding reads %.1f MB of %s weights, and the cache\n\n",
             result.read_bandwidth / 1e9, static_cast<double>(result.weight_bytes) / 1e6,
             result.load_strategy == "eager" ? "copied" : "mapped")
      << line("%-*s %9s %7s %5s  %-24s %-24s %s\n", name_width(flags), "kv cache", "B/token", "depth", "batch",
              "prefill tokens/s", "decode tokens/s", "decode GB/s (of read)")
      << std::flush;
}

void write_row(std::ostream& out, const BenchFlags& flags, const BenchResult& result) {
  const BenchRow& row = result.rows.back();
  const BenchOptions& asked = flags.options;
  if (row.depth == asked.depths.front() && row.batch == asked.batches.front() &&
      row.dtype != row.kv_cache_dtype)
    out << "(" << row.kv_cache_dtype << ": " << row.dtype << ")\n";
  out << line("%-*s %9lld %7d %5d  %-24s %-24s ", name_width(flags), row.kv_cache_dtype.c_str(),
              static_cast<long long>(row.bytes_per_token), row.depth, row.batch, rate_text(row.prefill).c_str(),
              rate_text(row.decode).c_str());
  if (row.decode_bandwidth > 0)
    out << line("%.1f (%.0f%%)", row.decode_bandwidth / 1e9,
                100 * row.decode_bandwidth / result.read_bandwidth);
  out << std::endl;
}

Json rate_json(const BenchRate& rate) {
  if (rate.median == 0) return nullptr;
  return {{"median", rate.median}, {"least", rate.least}, {"most", rate.most}};
}

void write_json(std::ostream& out, const BenchFlags& flags, const BenchResult& result) {
  Json rows = Json::array();
  for (const BenchRow& row : result.rows)
    rows.push_back({{"kv_cache_dtype", row.kv_cache_dtype},
                    {"dtype", row.dtype},
                    {"bytes_per_token", row.bytes_per_token},
                    {"depth", row.depth},
                    {"batch", row.batch},
                    {"prefill_tokens_per_second", rate_json(row.prefill)},
                    {"decode_tokens_per_second", rate_json(row.decode)},
                    {"decode_bytes", row.decode_bytes},
                    {"decode_bytes_per_second", row.decode_bandwidth}});
  const Json document = {{"model", flags.options.model},
                         {"isa", result.isa},
                         {"dtype", result.dtype},
                         {"load_strategy", result.load_strategy},
                         {"threads", result.threads},
                         {"prefill_tokens", flags.options.prefill_tokens},
                         {"decode_tokens", flags.options.decode_tokens},
                         {"mixed_lengths", flags.options.mixed_lengths},
                         {"runs", flags.options.runs},
                         {"weight_bytes", result.weight_bytes},
                         {"read_bytes_per_second", result.read_bandwidth},
                         {"rows", rows}};
  out << document.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

int bench(const BenchFlags& flags) {
  install_interrupt_handler();
  const BenchResult result = run_benchmark(flags.options, [&](const BenchResult& so_far) {
    if (!flags.json && so_far.rows.empty()) write_header(std::cout, flags, so_far);
    if (!flags.json && !so_far.rows.empty()) write_row(std::cout, flags, so_far);
    return !interrupted();
  });
  if (flags.json) write_json(std::cout, flags, result);
  finish_output();
  return interrupted() ? kInterrupted : kSuccess;
}

}  // namespace

Command add_bench_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("bench", "Measure prefill and decode at several context depths");
  app->footer(
      "Examples:\n"
      "  octet bench models/smollm2-135m-instruct --depth 0,2048,7000 --kv-cache-dtype auto,fp8_e4m3\n"
      "  octet bench models/smollm2-135m-instruct --depth 128,2000 --batch 1,8,32 --prefill 0");
  const auto flags = std::make_shared<BenchFlags>();
  BenchOptions& options = flags->options;
  app->add_option("MODEL_DIR", options.model, "Hugging Face checkpoint directory")->required();
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
  app->add_option("--runs", options.runs, "Repetitions of each figure [3]");
  app->add_option("--block-size", options.block_size,
                  "Tokens in a block of the cache: 8, 16, 32, 64 or 128 [16]");
  add_loading_flags(*app, options.dtype, options.safetensors_load_strategy);
  app->add_option("--threads", options.threads, "Threads [the physical cores]");
  app->add_option("--isa", options.isa,
                  "Kernels: reference, avx2, avx512 or avx512_bf16 [$OCTET_ISA, else the fastest]");
  app->add_flag("--json", flags->json, "As one JSON object");
  add_config_flag(*app);
  return {app, [flags] { return bench(*flags); }};
}

}  // namespace octet::apps
