// Calibration from a dataset, or from the weights: options, samples, the model, scales, files.
#include <octet/calibration.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "calibrate/bound.h"
#include "calibrate/calibration_state.h"
#include "calibrate/checkpoint_writer.h"
#include "calibrate/sample_runner.h"
#include "calibrate/scale_observer.h"
#include "llm/calibration_options.h"
#include "llm/dataset.h"
#include "llm/engine_setup.h"
#include "llm/sample_encoder.h"

namespace octet {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kStepTokens = 512;     // of one forward step
constexpr double kSaveSeconds = 60;  // between two states

// Without the separator that a path may end with.
std::string without_trailing_slash(const fs::path& path) {
  return (path.has_filename() ? path : path.parent_path()).string();
}

// One value a layer where there is one scale for the tensor.
std::vector<CalibratedLayer> calibrated_layers(const kv::KvScales& scales) {
  const auto values = [&](const std::vector<float>& heads) {
    const std::size_t kept =
        scales.strategy == kv::ScaleStrategy::tensor ? std::min<std::size_t>(1, heads.size()) : heads.size();
    return std::vector<float>(heads.begin(), heads.begin() + static_cast<std::ptrdiff_t>(kept));
  };
  std::vector<CalibratedLayer> layers;
  for (const kv::LayerScales& layer : scales.layers)
    layers.push_back({values(layer.k), values(layer.v), values(layer.q)});
  return layers;
}

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// Of the config and a few bytes of every tensor: enough to tell one fine-tuning from another.
std::uint64_t model_fingerprint(const files::Checkpoint& checkpoint) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto mix = [&](std::string_view bytes) {
    for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  };
  mix(checkpoint.config().dump());
  for (const files::TensorView& tensor : checkpoint.tensors()) {
    mix(tensor.name);
    const std::size_t size = std::min<std::size_t>(tensor.data.size(), 64);
    mix({reinterpret_cast<const char*>(tensor.data.data()), size});
  }
  return hash;
}

// One calibration from its checked options to its result.
class Calibration {
 public:
  explicit Calibration(const CalibrationOptions& options)
      : options_(options),
        observer_options_(llm::read_observer_options(options)),
        loaded_(llm::load_model(options.model, options.isa, options.threads, kStepTokens, "lazy")),
        config_(loaded_.model->config()),
        dtype_(llm::choose_dtype(options.dtype, config_)),
        max_tokens_(llm::choose_seq_length(options, config_.max_position_embeddings)),
        observer_(calibrate::make_observer(observer_options_, config_)) {
    loaded_.model->set_dtype(dtype_);
    output_ = llm::choose_output(options, *loaded_.checkpoint);
    output_.provenance.observer = options.observer;
    if (observer_options_.kind == calibrate::ObserverKind::percentile)
      output_.provenance.observer_kwargs = R"({"percentile":)" + llm::number_text(options.percentile) + "}";
    result_.output = without_trailing_slash(output_.directory);
    state_path_ = result_.output + ".resume";
    result_.strategy = options.strategy;
    result_.observer = options.observer;
    result_.dtype = dtype_name(dtype_);
    result_.isa = loaded_.table->isa;
    result_.threads = loaded_.threads->num_threads();
  }

  CalibrationResult run(const CalibrationCallback& on_progress) {
    const llm::Dataset dataset = llm::Dataset::open({.file = options_.dataset,
                                                     .num_samples = options_.num_samples,
                                                     .seed = options_.seed,
                                                     .shuffle = options_.shuffle,
                                                     .text_bytes = 4 * std::int64_t{max_tokens_}});
    result_.samples_in_dataset = dataset.samples_in_file();
    set_fingerprint(dataset);
    take_up_state();
    if (!observe(dataset, on_progress)) {
      result_.interrupted = true;
      result_.state = state_path_;
      save();
    } else {
      finish();
    }
    fill_progress();
    return std::move(result_);
  }

 private:
  void set_fingerprint(const llm::Dataset& dataset) {
    fingerprint_ = {{"model", hex(model_fingerprint(*loaded_.checkpoint))},
                    {"dataset", hex(dataset.fingerprint())},
                    {"strategy", options_.strategy},
                    {"observer", options_.observer},
                    {"targets", options_.targets},
                    {"dtype", result_.dtype},
                    {"max_seq_length", std::to_string(max_tokens_)}};
    total_samples_ = static_cast<std::int64_t>(dataset.size());
  }

  void take_up_state() {
    std::error_code ignored;
    const bool there = fs::exists(state_path_, ignored);
    if (options_.resume && there) {
      state_ = calibrate::load_state(state_path_, fingerprint_, *observer_);
      result_.notices.push_back("goes on after " + std::to_string(state_.samples) + " samples, from " +
                                state_path_);
    } else if (options_.resume) {
      result_.notices.push_back("no interrupted calibration in " + state_path_ +
                                ": started from the beginning");
    } else if (there) {
      result_.notices.push_back("the interrupted calibration in " + state_path_ +
                                " was given up (--resume would have gone on with it)");
    }
  }

  // False where the callback stopped it.
  bool observe(const llm::Dataset& dataset, const CalibrationCallback& on_progress) {
    llm::SampleEncoder encoder(options_.model, config_.vocab_size, max_tokens_);
    calibrate::SampleRunner runner(*loaded_.model, *observer_, kStepTokens, max_tokens_);
    const calibrate::CalibrationState before = state_;
    const Clock::time_point started = Clock::now();
    double saved = 0;
    const auto measure = [&] {
      const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
      state_.tokens = before.tokens + runner.tokens();
      state_.seconds = before.seconds + seconds;
      return seconds;
    };
    while (state_.samples < total_samples_) {
      const auto index = static_cast<std::size_t>(state_.samples);
      const std::string where = dataset.where(index);
      std::vector<std::int32_t> ids = dataset.is_json() ? encoder.encode_line(dataset.text(index), where)
                                                        : encoder.encode_text(dataset.text(index), where);
      ++state_.samples;
      if (ids.size() < 2)
        ++state_.skipped;
      else
        runner.add(std::move(ids));
      const double seconds = measure();
      const bool stop = !report(on_progress);
      if (stop || seconds - saved > kSaveSeconds) {
        runner.flush();  // a state is of whole samples
        saved = measure();
        if (stop) return false;
        save();
      }
    }
    runner.flush();
    measure();
    return report(on_progress);
  }

  void fill_progress() {
    result_.progress = {state_.samples, total_samples_, state_.tokens, state_.seconds};
    result_.skipped = state_.skipped;
  }

  bool report(const CalibrationCallback& on_progress) {
    fill_progress();
    return !on_progress || on_progress(result_.progress);
  }

  void save() const { calibrate::save_state(state_path_, state_, fingerprint_, *observer_); }

  void finish() {
    if (state_.skipped == state_.samples)
      throw Error(ErrorCode::invalid_file,
                  "none of its " + std::to_string(state_.samples) + " samples has two tokens or more",
                  options_.dataset);
    if (state_.skipped > 0)
      result_.notices.push_back(std::to_string(state_.skipped) + " of " + std::to_string(state_.samples) +
                                " samples were skipped: less than two tokens");
    const kv::KvScales scales = calibrate::scales_from_ranges(observer_->ranges(), observer_options_.strategy,
                                                              observer_options_.targets);
    write(scales);
    result_.layers = calibrated_layers(scales);
  }

  // What was seen is kept where the checkpoint cannot be written: a full disk must not cost a second run.
  void write(const kv::KvScales& scales) {
    std::error_code ignored;
    try {
      calibrate::write_calibrated_checkpoint(*loaded_.checkpoint, config_, scales, output_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::io) throw;
      try {
        save();
      } catch (const Error&) {
        throw error;  // there is no room for the state either
      }
      throw Error(error.code(), error.message() + "; --resume goes on from " + state_path_, error.context());
    }
    fs::remove(state_path_, ignored);
  }

  const CalibrationOptions& options_;
  calibrate::ObserverOptions observer_options_;
  llm::LoadedModel loaded_;
  const model::ModelConfig& config_;
  Dtype dtype_;  // of activations
  int max_tokens_;
  std::unique_ptr<calibrate::ScaleObserver> observer_;
  calibrate::CheckpointOutput output_;
  std::string state_path_;
  calibrate::Fingerprint fingerprint_;
  calibrate::CalibrationState state_;
  std::int64_t total_samples_ = 0;
  CalibrationResult result_;
};

// The scales that no text can saturate.
CalibrationResult calibrate_from_weights(const CalibrationOptions& options) {
  llm::require_no_samples(options);
  const kv::ScaleStrategy strategy = llm::parse_scale_strategy(options.strategy);
  const calibrate::Targets targets = llm::parse_targets(options.targets);
  const llm::LoadedModel loaded =
      llm::load_model(options.model, options.isa, options.threads, kStepTokens, "lazy");
  calibrate::CheckpointOutput output = llm::choose_output(options, *loaded.checkpoint);
  output.provenance.observer = "static_minmax";  // the nearest name that readers know: the largest magnitude

  CalibrationResult result;
  const Clock::time_point started = Clock::now();
  const kv::KvScales scales = calibrate::scales_from_ranges(
      calibrate::bound_ranges(loaded.model->config(), loaded.model->weights(), *loaded.threads), strategy,
      targets);
  result.progress.seconds = std::chrono::duration<double>(Clock::now() - started).count();
  calibrate::write_calibrated_checkpoint(*loaded.checkpoint, loaded.model->config(), scales, output);
  result.output = without_trailing_slash(output.directory);
  result.strategy = options.strategy;
  result.observer = "bound";
  result.layers = calibrated_layers(scales);
  result.dtype = dtype_name(Dtype::float32);
  result.isa = loaded.table->isa;
  result.threads = loaded.threads->num_threads();
  return result;
}

}  // namespace

CalibrationResult run_calibration(const CalibrationOptions& asked, const CalibrationCallback& on_progress) {
  const auto refuse = [](const char* option, const std::string& message) {
    throw Error(ErrorCode::invalid_argument, message, option);
  };
  if (asked.model.empty()) refuse("model", "expected a checkpoint directory, found an empty string");
  const CalibrationOptions options = llm::find_calibrated_model(asked);
  if (options.method == "bound") return calibrate_from_weights(options);
  if (options.method != "dataset")
    refuse("method", "expected dataset or bound, found '" + options.method + "'");
  return Calibration(options).run(on_progress);
}

}  // namespace octet
