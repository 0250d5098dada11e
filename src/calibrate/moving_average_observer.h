// MovingAverageObserver: llm-compressor's `minmax`. Of the samples' minimum and maximum the first counts whole;
// then 0.99 of the old average and 0.01 of the new sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "calibrate/largest_observer.h"

namespace octet::calibrate {

class MovingAverageObserver final : public LargestObserver {
 public:
  MovingAverageObserver(const ObserverOptions& options, const model::ModelConfig& config);

  void begin_step(std::span<const SampleRows> samples) override;
  std::vector<LayerRanges> ranges() const override;
  std::vector<files::OwnedTensor> state() const override;
  void restore(std::span<const files::TensorView> state) override;

 private:
  void observe_heads(std::size_t first, const model::HeadRows& rows) override;
  void end_sample(std::size_t first, std::size_t heads, bool is_first);

  std::vector<SampleRows> samples_;                     // of the step
  std::uint64_t num_samples_ = 0;                       // that have ended
  std::vector<float> minimum_, maximum_;                // averages, [heads of all layers]
  std::vector<float> sample_minimum_, sample_maximum_;  // of the sample that has begun
};

}  // namespace octet::calibrate
