// LargestObserver: the largest magnitude of every head, which also remembers a NaN. It is the kind
// static_minmax, and what the other kinds keep too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "calibrate/head_index.h"
#include "calibrate/scale_observer.h"

namespace octet::calibrate {

class LargestObserver : public ScaleObserver {
 public:
  LargestObserver(const ObserverOptions& options, const model::ModelConfig& config);

  void begin_step(std::span<const SampleRows>) override {}
  void observe_qkv(int layer, const model::HeadRows& q, const model::HeadRows& k,
                   const model::HeadRows& v) override;
  std::vector<LayerRanges> ranges() const override { return index_.by_layer(largest_); }
  std::vector<files::OwnedTensor> state() const override;
  void restore(std::span<const files::TensorView> state) override;

 protected:
  // The heads of one tensor, whose first has the number `first`.
  virtual void observe_heads(std::size_t /*first*/, const model::HeadRows& /*rows*/) {}

  static const float* row_of(const model::HeadRows& rows, int token, std::size_t head) {
    return rows.data + token * rows.stride + static_cast<std::int64_t>(head) * rows.head_dim;
  }

  ObserverOptions options_;
  HeadIndex index_;
  std::vector<float> largest_;  // [heads of all layers]
};

}  // namespace octet::calibrate
