// LayerTensors: the tensors of one decoder layer by the names that follow "model.layers.N.".
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "files/checkpoint.h"
#include "model/config.h"
#include "model/weights.h"

namespace octet::model {

// The gain of a norm: the tensor `name` of shape [size] plus `offset`. Throws as take_vector.
inline std::vector<float> take_norm(const files::Checkpoint& checkpoint, const std::string& name, int size,
                                    float offset) {
  std::vector<float> gain = take_vector(checkpoint, name, size);
  for (float& value : gain) value += offset;
  return gain;
}

class LayerTensors {
 public:
  // `checkpoint` must outlive this.
  LayerTensors(const files::Checkpoint& checkpoint, const ModelConfig& config, int layer)
      : checkpoint_(checkpoint),
        layer_(layer),
        prefix_("model.layers." + std::to_string(layer) + "."),
        norm_offset_(config.norm_plus_one ? 1.0f : 0.0f) {}

  int layer() const { return layer_; }

  // NAME.weight [rows, cols], and NAME.bias [rows] where `has_bias`. Throws as take_linear.
  Linear linear(const std::string& name, int rows, int cols, bool has_bias = false) const {
    return take_linear(checkpoint_, prefix_ + name, rows, cols, has_bias);
  }
  // The gain of a norm, NAME.weight [size], 1 added where the config says so. Throws as take_linear.
  std::vector<float> norm(const std::string& name, int size) const {
    return take_norm(checkpoint_, prefix_ + name + ".weight", size, norm_offset_);
  }

 private:
  const files::Checkpoint& checkpoint_;
  int layer_;
  std::string prefix_;
  float norm_offset_;
};

}  // namespace octet::model
