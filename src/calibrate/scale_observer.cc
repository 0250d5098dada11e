#include "calibrate/scale_observer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/error.h"
#include "calibrate/head_index.h"
#include "calibrate/magnitude_histogram.h"
#include "calibrate/observer_state.h"

namespace octet::calibrate {

namespace {

using model::HeadRows;

constexpr std::array<std::string_view, 4> kNames = {"static_minmax", "minmax", "mse", "percentile"};

const float* row_of(const HeadRows& rows, int token, std::size_t head) {
  return rows.data + token * rows.stride + static_cast<std::int64_t>(head) * rows.head_dim;
}

// What all of them keep: the largest magnitude of every head, which also remembers a NaN.
class LargestObserver : public ScaleObserver {
 public:
  LargestObserver(const ObserverOptions& options, const model::ModelConfig& config)
      : options_(options), index_(config, options.targets), largest_(index_.size(), 0.0f) {}

  void begin_step(std::span<const SampleRows>) override {}

  void observe_qkv(int layer, const HeadRows& q, const HeadRows& k, const HeadRows& v) override {
    const std::array<const HeadRows*, 3> tensors = {&q, &k, &v};
    for (const int tensor : HeadIndex::kTensors) {
      if (index_.heads(tensor) == 0) continue;
      const std::size_t first = index_.first(static_cast<std::size_t>(layer), tensor);
      const HeadRows& rows = *tensors[static_cast<std::size_t>(tensor)];
      widen(std::span(largest_).subspan(first, index_.heads(tensor)), rows);
      observe_heads(first, rows);
    }
  }

  std::vector<LayerRanges> ranges() const override { return index_.by_layer(largest_); }

  std::vector<files::OwnedTensor> state() const override {
    std::vector<files::OwnedTensor> tensors;
    tensors.push_back(state_tensor("largest", std::span<const float>(largest_)));
    return tensors;
  }
  void restore(std::span<const files::TensorView> state) override {
    restore_tensor(state, "largest", std::span<float>(largest_));
  }

 protected:
  // The heads of one tensor, whose first has the number `first`.
  virtual void observe_heads(std::size_t /*first*/, const HeadRows& /*rows*/) {}

  ObserverOptions options_;
  HeadIndex index_;
  std::vector<float> largest_;  // [heads of all layers]
};

// llm-compressor's `minmax`: the first sample's minimum and maximum, then 0.99 of the old and 0.01 of the new.
class MovingAverageObserver final : public LargestObserver {
 public:
  MovingAverageObserver(const ObserverOptions& options, const model::ModelConfig& config)
      : LargestObserver(options, config),
        minimum_(index_.size()),
        maximum_(index_.size()),
        sample_minimum_(index_.size(), kNone),
        sample_maximum_(index_.size(), -kNone) {}

  void begin_step(std::span<const SampleRows> samples) override {
    samples_.assign(samples.begin(), samples.end());
  }

  std::vector<LayerRanges> ranges() const override {
    std::vector<float> found(index_.size());
    for (std::size_t head = 0; head < found.size(); ++head)
      found[head] = std::isfinite(largest_[head]) ? std::max(-minimum_[head], maximum_[head]) : largest_[head];
    return index_.by_layer(found);
  }

  std::vector<files::OwnedTensor> state() const override {
    std::vector<files::OwnedTensor> tensors = LargestObserver::state();
    tensors.push_back(state_tensor("minimum", std::span<const float>(minimum_)));
    tensors.push_back(state_tensor("maximum", std::span<const float>(maximum_)));
    tensors.push_back(state_tensor("samples", std::span<const std::uint64_t>(&num_samples_, 1)));
    return tensors;
  }
  void restore(std::span<const files::TensorView> state) override {
    LargestObserver::restore(state);
    restore_tensor(state, "minimum", std::span<float>(minimum_));
    restore_tensor(state, "maximum", std::span<float>(maximum_));
    restore_tensor(state, "samples", std::span<std::uint64_t>(&num_samples_, 1));
  }

 private:
  static constexpr float kNone = std::numeric_limits<float>::infinity();
  static constexpr float kNew = 0.01f;  // llm-compressor's averaging_constant

  void observe_heads(std::size_t first, const HeadRows& rows) override {
    const auto heads = static_cast<std::size_t>(rows.num_heads);
    std::uint64_t ended = num_samples_;
    for (const SampleRows& sample : samples_) {
      for (std::size_t head = 0; head < heads; ++head) {
        float least = sample_minimum_[first + head], most = sample_maximum_[first + head];
        for (int token = sample.begin; token < sample.end; ++token) {
          const float* row = row_of(rows, token, head);
          const auto [low, high] = std::minmax_element(row, row + rows.head_dim);
          least = std::min(least, *low);
          most = std::max(most, *high);
        }
        sample_minimum_[first + head] = least;
        sample_maximum_[first + head] = most;
      }
      if (sample.last) end_sample(first, heads, ended++ == 0);
    }
    // The last tensor of the step: the samples that ended in it are past.
    if (first + heads == index_.size()) num_samples_ = ended;
  }

  void end_sample(std::size_t first, std::size_t heads, bool is_first) {
    const auto begin = static_cast<std::ptrdiff_t>(first), end = static_cast<std::ptrdiff_t>(first + heads);
    if (options_.strategy == kv::ScaleStrategy::tensor) {  // the average is of the whole tensor's extremes
      const float least = *std::min_element(sample_minimum_.begin() + begin, sample_minimum_.begin() + end);
      const float most = *std::max_element(sample_maximum_.begin() + begin, sample_maximum_.begin() + end);
      std::fill(sample_minimum_.begin() + begin, sample_minimum_.begin() + end, least);
      std::fill(sample_maximum_.begin() + begin, sample_maximum_.begin() + end, most);
    }
    for (std::size_t head = first; head < first + heads; ++head) {
      const float least = sample_minimum_[head], most = sample_maximum_[head];
      minimum_[head] = is_first ? least : minimum_[head] * (1 - kNew) + least * kNew;
      maximum_[head] = is_first ? most : maximum_[head] * (1 - kNew) + most * kNew;
      sample_minimum_[head] = kNone;
      sample_maximum_[head] = -kNone;
    }
  }

  std::vector<SampleRows> samples_;                     // of the step
  std::uint64_t num_samples_ = 0;                       // that have ended
  std::vector<float> minimum_, maximum_;                // averages, [heads of all layers]
  std::vector<float> sample_minimum_, sample_maximum_;  // of the sample that has begun
};

// mse and percentile.
class HistogramObserver final : public LargestObserver {
 public:
  HistogramObserver(const ObserverOptions& options, const model::ModelConfig& config)
      : LargestObserver(options, config), counts_(index_.size() * kBins) {}

  std::vector<LayerRanges> ranges() const override {
    std::vector<float> found(index_.size());
    for (std::size_t layer = 0; layer < index_.num_layers(); ++layer)
      for (const int tensor : HeadIndex::kTensors) fill_clips(layer, tensor, found);
    return index_.by_layer(found);
  }

  std::vector<files::OwnedTensor> state() const override {
    std::vector<files::OwnedTensor> tensors = LargestObserver::state();
    tensors.push_back(state_tensor("counts", std::span<const std::uint64_t>(counts_)));
    return tensors;
  }
  void restore(std::span<const files::TensorView> state) override {
    LargestObserver::restore(state);
    restore_tensor(state, "counts", std::span<std::uint64_t>(counts_));
  }

 private:
  void observe_heads(std::size_t first, const HeadRows& rows) override {
    for (int token = 0; token < rows.num_tokens; ++token) {
      for (int head = 0; head < rows.num_heads; ++head) {
        std::uint64_t* counts = counts_.data() + (first + static_cast<std::size_t>(head)) * kBins;
        const float* row = row_of(rows, token, static_cast<std::size_t>(head));
        for (int i = 0; i < rows.head_dim; ++i) ++counts[bin_of(row[i])];
      }
    }
  }

  float clip(std::span<const std::uint64_t> counts, float largest) const {
    if (!std::isfinite(largest) || largest == 0) return largest;  // no scale: said by whoever asks for one
    return options_.kind == ObserverKind::mse ? least_error_clip(counts, largest)
                                              : percentile_of(counts, largest, options_.percentile);
  }

  std::span<const std::uint64_t> counts(std::size_t head) const {
    return std::span(counts_).subspan(head * kBins, kBins);
  }

  void fill_clips(std::size_t layer, int tensor, std::vector<float>& clips) const {
    const std::size_t first = index_.first(layer, tensor), heads = index_.heads(tensor);
    if (options_.strategy == kv::ScaleStrategy::attn_head) {
      for (std::size_t head = first; head < first + heads; ++head)
        clips[head] = clip(counts(head), largest_[head]);
      return;
    }
    std::vector<std::uint64_t> together(kBins);
    float largest = 0;
    for (std::size_t head = first; head < first + heads; ++head) {
      for (std::size_t bin = 0; bin < kBins; ++bin) together[bin] += counts(head)[bin];
      largest = std::isnan(largest_[head]) ? largest_[head] : std::max(largest, largest_[head]);
      if (std::isnan(largest)) break;
    }
    const float shared = heads == 0 ? 0 : clip(together, largest);
    for (std::size_t head = first; head < first + heads; ++head) clips[head] = shared;
  }

  std::vector<std::uint64_t> counts_;  // [heads of all layers, kBins]
};

}  // namespace

ObserverKind parse_observer(const std::string& name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<ObserverKind>(i);
  throw Error(ErrorCode::invalid_argument,
              "expected static_minmax, minmax, mse or percentile, found '" + name + "'", "observer");
}

std::string_view observer_name(ObserverKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::unique_ptr<ScaleObserver> make_observer(const ObserverOptions& options, const model::ModelConfig& config) {
  switch (options.kind) {
    case ObserverKind::static_minmax:
      return std::make_unique<LargestObserver>(options, config);
    case ObserverKind::minmax:
      return std::make_unique<MovingAverageObserver>(options, config);
    case ObserverKind::mse:
    case ObserverKind::percentile:
      return std::make_unique<HistogramObserver>(options, config);
  }
  OCTET_CHECK(!"an observer");
  return nullptr;
}

}  // namespace octet::calibrate
