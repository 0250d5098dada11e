// octet calibrate: scales for an FP8 KV cache, and the checkpoint that carries them.
#include <octet/calibration.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "apps/interruption.h"
#include "apps/loading_flags.h"
#include "apps/progress_bar.h"
#include "apps/seed_flag.h"

namespace octet::apps {

namespace {

using Json = nlohmann::ordered_json;

struct CalibrateFlags {
  CalibrationOptions options;
  bool no_shuffle = false;
  bool json = false;
};

double tokens_per_second(const CalibrationProgress& progress) {
  return progress.seconds > 0 ? static_cast<double>(progress.tokens) / progress.seconds : 0;
}

std::vector<float> all_scales(const CalibrationResult& result, std::vector<float> CalibratedLayer::*tensor) {
  std::vector<float> all;
  for (const CalibratedLayer& layer : result.layers)
    all.insert(all.end(), (layer.*tensor).begin(), (layer.*tensor).end());
  return all;
}

void write_row(std::ostream& out, const char* name, std::vector<float> scales) {
  if (scales.empty()) return;
  std::sort(scales.begin(), scales.end());
  char line[128];
  std::snprintf(line, sizeof line, "  %-7s %10.6f %10.6f %10.6f   %zu\n", name,
                static_cast<double>(scales.front()), static_cast<double>(scales[scales.size() / 2]),
                static_cast<double>(scales.back()), scales.size());
  out << line;
}

// The scales and where they are.
void write_scales(std::ostream& out, const CalibrateFlags& flags, const CalibrationResult& result) {
  out << "  scales         min     median        max   values\n";
  write_row(out, "k", all_scales(result, &CalibratedLayer::k));
  write_row(out, "v", all_scales(result, &CalibratedLayer::v));
  write_row(out, "q", all_scales(result, &CalibratedLayer::q));
  out << "\nwritten to " << result.output << "\n";
  if (flags.options.scales_only)
    out << "put the weights beside them, model.safetensors under the name model-00001-of-00001.safetensors\n";
  else
    out << "use it:  octet generate " << result.output << " --prompt '…'\n";
}

void write_text(std::ostream& out, const CalibrateFlags& flags, const CalibrationResult& result) {
  const CalibrationProgress& progress = result.progress;
  char rate[64];
  if (result.observer == "bound") {
    std::snprintf(rate, sizeof rate, "%.2f s", progress.seconds);
    out << "bound from the weights in " << rate << ", strategy " << result.strategy
        << ", fp8_e4m3: no text saturates\n\n";
    write_scales(out, flags, result);
    return;
  }
  std::snprintf(rate, sizeof rate, "%.1f tokens/s", tokens_per_second(progress));
  out << progress.samples - result.skipped << " samples, " << progress.tokens << " tokens in "
      << duration_text(progress.seconds) << ": " << rate << " (" << result.dtype << ", " << result.isa << ", "
      << result.threads << " threads)\n"
      << "observer " << result.observer << ", strategy " << result.strategy << ", fp8_e4m3\n\n";
  write_scales(out, flags, result);
}

void write_json(std::ostream& out, const CalibrationResult& result) {
  Json layers = Json::array();
  for (const CalibratedLayer& layer : result.layers) {
    Json scales = {{"k", layer.k}, {"v", layer.v}};
    if (!layer.q.empty()) scales["q"] = layer.q;
    layers.push_back(std::move(scales));
  }
  const CalibrationProgress& progress = result.progress;
  const Json document = {{"output", result.output},
                         {"interrupted", result.interrupted},
                         {"state", result.interrupted ? Json(result.state) : Json(nullptr)},
                         {"observer", result.observer},
                         {"strategy", result.strategy},
                         {"samples", progress.samples - result.skipped},
                         {"skipped", result.skipped},
                         {"samples_in_dataset", result.samples_in_dataset},
                         {"tokens", progress.tokens},
                         {"seconds", progress.seconds},
                         {"tokens_per_second", tokens_per_second(progress)},
                         {"dtype", result.dtype},
                         {"isa", result.isa},
                         {"threads", result.threads},
                         {"scales", layers}};
  out << document.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

int calibrate(const CalibrateFlags& flags) {
  install_interrupt_handler();
  signal(SIGXFSZ, SIG_IGN);  // a limit on files shall be an error that names the file
  CalibrationOptions options = flags.options;
  options.shuffle = !flags.no_shuffle;
  CalibrationResult result;
  {
    ProgressBar bar("samples", ProgressBar::Elsewhere::nothing);
    result = run_calibration(options, [&](const CalibrationProgress& progress) {
      bar.show("calibrating", progress.samples, progress.total_samples, tokens_per_second(progress));
      return !interrupted();
    });
  }
  for (const std::string& notice : result.notices) std::cerr << "octet: notice: " << notice << "\n";
  if (flags.json) write_json(std::cout, result);
  if (result.interrupted)
    std::cerr << "octet: interrupted after " << result.progress.samples << " of "
              << result.progress.total_samples << " samples; --resume goes on from " << result.state << "\n";
  else if (!flags.json)
    write_text(std::cout, flags, result);
  finish_output();
  return result.interrupted ? kInterrupted : kSuccess;
}

void add_flags(CLI::App& app, CalibrateFlags& flags) {
  CalibrationOptions& options = flags.options;
  app.add_option("MODEL_DIR", options.model, "Checkpoint directory, or its Hugging Face name")->required();
  app.add_option(
         "--dataset", options.dataset,
         "Samples: .jsonl with messages, text, prompt and completion, or input_ids; or .txt; none: with "
         "--method bound")
      ->required();
  app.add_option(
         "--method", options.method,
         "dataset: what the samples show; bound: what the weights allow, so that nothing saturates [dataset]")
      ->check(CLI::IsMember({"dataset", "bound"}));
  app.add_option("--output", options.output,
                 "Directory of the calibrated checkpoint [MODEL_DIR-kvattn-fp8-STRATEGY]");
  app.add_option("--strategy", options.strategy, "One scale a layer: tensor; one a head: attn_head [tensor]")
      ->check(CLI::IsMember({"tensor", "attn_head"}));
  app.add_option("--observer", options.observer,
                 "static_minmax (the largest magnitude), minmax (a moving average of the samples'), mse (least "
                 "squared error) or percentile [static_minmax]")
      ->check(CLI::IsMember({"static_minmax", "minmax", "mse", "percentile"}));
  app.add_option("--percentile", options.percentile, "Of the magnitudes, for --observer percentile [99.99]");
  app.add_option("--targets", options.targets, "kv, or qkv: queries too [kv]")
      ->check(CLI::IsMember({"kv", "qkv"}));
  app.add_option("--num-samples", options.num_samples, "Samples to use, at most [512]");
  app.add_option("--max-seq-length", options.max_seq_length,
                 "Tokens of a sample, the rest is cut [2048, or what the model takes]");
  app.add_option("--seed", options.seed, "Of the choice of samples and their order [42]")->check(check_seed);
  app.add_flag("--no-shuffle", flags.no_shuffle, "Use the first samples, in their order");
  app.add_flag("--scales-only", options.scales_only, "Write the added shard, the index and config.json alone");
  app.add_flag("--force", options.force, "Replace a calibrated checkpoint that stands there");
  app.add_flag("--resume", options.resume, "Go on where an interrupted calibration stood");
  add_dtype_flag(app, options.dtype);
  app.add_option("--threads", options.threads, "Threads [the physical cores]");
  app.add_option("--isa", options.isa,
                 "Kernels: reference, avx2, avx512 or avx512_bf16 [$OCTET_ISA, else the fastest]");
  app.add_flag("--json", flags.json, "As one JSON object");
}

}  // namespace

Command add_calibrate_command(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("calibrate", "Make KV-cache scales from a dataset, and a checkpoint with them");
  app->footer(
      "Examples:\n  octet calibrate models/smollm2-135m-instruct --dataset chats.jsonl --strategy attn_head\n"
      "  octet calibrate MODEL --dataset none --method bound");
  const auto flags = std::make_shared<CalibrateFlags>();
  add_flags(*app, *flags);
  return {app, [flags] { return calibrate(*flags); }};
}

}  // namespace octet::apps
