// HistogramObserver: the kinds mse and percentile, which clip what is rare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "calibrate/largest_observer.h"
#include "calibrate/magnitude_histogram.h"

namespace octet::calibrate {

class HistogramObserver final : public LargestObserver {
 public:
  HistogramObserver(const ObserverOptions& options, const model::ModelConfig& config)
      : LargestObserver(options, config), counts_(index_.size() * kBins) {}

  std::vector<LayerRanges> ranges() const override;
  std::vector<files::OwnedTensor> state() const override;
  void restore(std::span<const files::TensorView> state) override;

 private:
  void observe_heads(std::size_t first, const model::HeadRows& rows) override;
  float clip(std::span<const std::uint64_t> counts, float largest) const;
  std::span<const std::uint64_t> counts(std::size_t head) const;
  void fill_clips(std::size_t layer, int tensor, std::vector<float>& clips) const;

  std::vector<std::uint64_t> counts_;  // [heads of all layers, kBins]
};

}  // namespace octet::calibrate
