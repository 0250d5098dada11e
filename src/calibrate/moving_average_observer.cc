#include "calibrate/moving_average_observer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "calibrate/observer_state.h"

namespace octet::calibrate {

namespace {

constexpr float kNone = std::numeric_limits<float>::infinity();
constexpr float kNew = 0.01f;  // llm-compressor's averaging_constant

}  // namespace

using model::HeadRows;

MovingAverageObserver::MovingAverageObserver(const ObserverOptions& options, const model::ModelConfig& config)
    : LargestObserver(options, config),
      minimum_(index_.size()),
      maximum_(index_.size()),
      sample_minimum_(index_.size(), kNone),
      sample_maximum_(index_.size(), -kNone) {}

void MovingAverageObserver::begin_step(std::span<const SampleRows> samples) {
  samples_.assign(samples.begin(), samples.end());
}

std::vector<LayerRanges> MovingAverageObserver::ranges() const {
  std::vector<float> found(index_.size());
  for (std::size_t head = 0; head < found.size(); ++head)
    found[head] = std::isfinite(largest_[head]) ? std::max(-minimum_[head], maximum_[head]) : largest_[head];
  return index_.by_layer(found);
}

std::vector<files::OwnedTensor> MovingAverageObserver::state() const {
  std::vector<files::OwnedTensor> tensors = LargestObserver::state();
  tensors.push_back(state_tensor("minimum", std::span<const float>(minimum_)));
  tensors.push_back(state_tensor("maximum", std::span<const float>(maximum_)));
  tensors.push_back(state_tensor("samples", std::span<const std::uint64_t>(&num_samples_, 1)));
  return tensors;
}

void MovingAverageObserver::restore(std::span<const files::TensorView> state) {
  LargestObserver::restore(state);
  restore_tensor(state, "minimum", std::span<float>(minimum_));
  restore_tensor(state, "maximum", std::span<float>(maximum_));
  restore_tensor(state, "samples", std::span<std::uint64_t>(&num_samples_, 1));
}

void MovingAverageObserver::observe_heads(std::size_t first, const HeadRows& rows) {
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

void MovingAverageObserver::end_sample(std::size_t first, std::size_t heads, bool is_first) {
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

}  // namespace octet::calibrate
