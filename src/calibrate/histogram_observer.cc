#include "calibrate/histogram_observer.h"

#include <algorithm>
#include <cmath>

#include "calibrate/observer_state.h"

namespace octet::calibrate {

using model::HeadRows;

std::vector<LayerRanges> HistogramObserver::ranges() const {
  std::vector<float> found(index_.size());
  for (std::size_t layer = 0; layer < index_.num_layers(); ++layer)
    for (const int tensor : HeadIndex::kTensors) fill_clips(layer, tensor, found);
  return index_.by_layer(found);
}

std::vector<files::OwnedTensor> HistogramObserver::state() const {
  std::vector<files::OwnedTensor> tensors = LargestObserver::state();
  tensors.push_back(state_tensor("counts", std::span<const std::uint64_t>(counts_)));
  return tensors;
}

void HistogramObserver::restore(std::span<const files::TensorView> state) {
  LargestObserver::restore(state);
  restore_tensor(state, "counts", std::span<std::uint64_t>(counts_));
}

void HistogramObserver::observe_heads(std::size_t first, const HeadRows& rows) {
  for (int token = 0; token < rows.num_tokens; ++token) {
    for (int head = 0; head < rows.num_heads; ++head) {
      std::uint64_t* counts = counts_.data() + (first + static_cast<std::size_t>(head)) * kBins;
      const float* row = row_of(rows, token, static_cast<std::size_t>(head));
      for (int i = 0; i < rows.head_dim; ++i) ++counts[bin_of(row[i])];
    }
  }
}

float HistogramObserver::clip(std::span<const std::uint64_t> counts, float largest) const {
  if (!std::isfinite(largest) || largest == 0) return largest;  // no scale: said by whoever asks for one
  return options_.kind == ObserverKind::mse ? least_error_clip(counts, largest)
                                            : percentile_of(counts, largest, options_.percentile);
}

std::span<const std::uint64_t> HistogramObserver::counts(std::size_t head) const {
  return std::span(counts_).subspan(head * kBins, kBins);
}

void HistogramObserver::fill_clips(std::size_t layer, int tensor, std::vector<float>& clips) const {
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

}  // namespace octet::calibrate
