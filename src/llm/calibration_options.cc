#include "llm/calibration_options.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/error.h"
#include "files/hub_cache.h"

namespace octet::llm {

namespace {

constexpr int kDefaultSeqLength = 2048;  // max_seq_length

[[noreturn]] void refuse(const char* option, const std::string& expected, const std::string& found) {
  throw Error(ErrorCode::invalid_argument, "expected " + expected + ", found " + found, option);
}

// MODEL-kvattn-fp8-STRATEGY.
std::string default_output(const CalibrationOptions& options) {
  std::filesystem::path model = options.model;
  if (!model.has_filename()) model = model.parent_path();
  if (model.filename() == "." || model.filename() == "..") model = std::filesystem::weakly_canonical(model);
  return model.string() + "-kvattn-fp8-" + options.strategy;
}

}  // namespace

kv::ScaleStrategy parse_scale_strategy(const std::string& name) {
  if (name == "tensor") return kv::ScaleStrategy::tensor;
  if (name == "attn_head") return kv::ScaleStrategy::attn_head;
  refuse("strategy", "tensor or attn_head", "'" + name + "'");
}

calibrate::Targets parse_targets(const std::string& name) {
  if (name != "kv" && name != "qkv") refuse("targets", "kv or qkv", "'" + name + "'");
  return {.q = name == "qkv"};
}

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

calibrate::ObserverOptions read_observer_options(const CalibrationOptions& options) {
  if (options.num_samples < 1) refuse("num_samples", "1 or more", std::to_string(options.num_samples));
  if (!(options.percentile > 0 && options.percentile <= 100))
    refuse("percentile", "a number above 0 and at most 100", number_text(options.percentile));
  if (options.percentile != CalibrationOptions().percentile && options.observer != "percentile")
    refuse("percentile", "the observer percentile, which alone uses it", "the observer " + options.observer);
  if (options.dataset.empty()) refuse("dataset", "a file", "an empty string");
  if (options.dataset == "none") refuse("dataset", "a file (none is for the method bound)", "none");
  return {.kind = calibrate::parse_observer(options.observer),
          .percentile = options.percentile,
          .strategy = parse_scale_strategy(options.strategy),
          .targets = parse_targets(options.targets)};
}

int choose_seq_length(const CalibrationOptions& options, int most) {
  if (!options.max_seq_length) return std::min(kDefaultSeqLength, most);
  const int asked = *options.max_seq_length;
  if (asked < 2 || asked > most)
    refuse("max_seq_length", "2 to " + std::to_string(most) + ", the model's max_position_embeddings",
           std::to_string(asked));
  return asked;
}

CalibrationOptions find_calibrated_model(const CalibrationOptions& asked) {
  CalibrationOptions options = asked;
  options.model = files::find_model(asked.model);
  // Nothing of ours belongs beside a snapshot in the cache: it goes where the work is done.
  if (options.model != asked.model && asked.output.empty()) {
    CalibrationOptions here = asked;
    here.model = std::filesystem::path(asked.model).filename().string();
    options.output = default_output(here);
  }
  return options;
}

calibrate::CheckpointOutput choose_output(const CalibrationOptions& options,
                                          const files::Checkpoint& checkpoint) {
  calibrate::CheckpointOutput output;
  output.directory = options.output.empty() ? default_output(options) : options.output;
  output.scales_only = options.scales_only;
  output.replace = options.force;
  calibrate::check_output(checkpoint, output);
  return output;
}

void require_no_samples(const CalibrationOptions& options) {
  const CalibrationOptions defaults;
  if (!options.dataset.empty() && options.dataset != "none")
    refuse("dataset", "none, since the method bound looks at no samples", "'" + options.dataset + "'");
  const auto unused = [](bool given, const char* option) {
    if (given)
      throw Error(ErrorCode::invalid_argument,
                  "has no meaning with the method bound, which looks at no samples", option);
  };
  unused(options.observer != defaults.observer, "observer");
  unused(options.percentile != defaults.percentile, "percentile");
  unused(options.num_samples != defaults.num_samples, "num_samples");
  unused(options.max_seq_length.has_value(), "max_seq_length");
  unused(options.resume, "resume");
  unused(options.dtype != defaults.dtype, "dtype");
}

}  // namespace octet::llm
