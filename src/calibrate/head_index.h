// HeadIndex: one number for every head of q (where it is a target), k and v of every layer, so that an observer
// keeps what it knows in flat arrays.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "calibrate/layer_ranges.h"
#include "model/attention_observer.h"
#include "model/config.h"

namespace octet::calibrate {

class HeadIndex {
 public:
  HeadIndex(const model::ModelConfig& config, Targets targets)
      : num_layers_(static_cast<std::size_t>(config.num_layers)),
        heads_{targets.q ? static_cast<std::size_t>(config.num_heads) : 0,
               static_cast<std::size_t>(config.num_kv_heads), static_cast<std::size_t>(config.num_kv_heads)} {}

  static constexpr std::array<int, 3> kTensors = {0, 1, 2};  // q, k, v

  std::size_t num_layers() const { return num_layers_; }
  std::size_t heads(int tensor) const { return heads_[static_cast<std::size_t>(tensor)]; }
  // The first head of a tensor; its others follow.
  std::size_t first(std::size_t layer, int tensor) const {
    return layer * (heads_[0] + heads_[1] + heads_[2]) + (tensor > 0 ? heads_[0] : 0) +
           (tensor > 1 ? heads_[1] : 0);
  }
  std::size_t size() const { return first(num_layers_, 0); }  // all heads of all layers

  // values [size()] by layer and tensor.
  std::vector<LayerRanges> by_layer(std::span<const float> values) const {
    const auto part = [&](std::size_t layer, int tensor) {
      const std::span<const float> found = values.subspan(first(layer, tensor), heads(tensor));
      return std::vector<float>(found.begin(), found.end());
    };
    std::vector<LayerRanges> layers;
    for (std::size_t layer = 0; layer < num_layers_; ++layer)
      layers.push_back({part(layer, 0), part(layer, 1), part(layer, 2)});
    return layers;
  }

 private:
  std::size_t num_layers_;
  std::array<std::size_t, 3> heads_;
};

}  // namespace octet::calibrate
