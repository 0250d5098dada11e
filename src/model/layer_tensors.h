// LayerTensors: the tensors of one decoder layer by the names that follow "model.layers.N.".
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "files/checkpoint.h"
#include "model/weights.h"

namespace octet::model {

class LayerTensors {
 public:
  // `checkpoint` must outlive this.
  LayerTensors(const files::Checkpoint& checkpoint, int layer)
      : checkpoint_(checkpoint), layer_(layer), prefix_("model.layers." + std::to_string(layer) + ".") {}

  int layer() const { return layer_; }

  // NAME.weight [rows, cols], and NAME.bias [rows] where `has_bias`. Throws as take_linear.
  Linear linear(const std::string& name, int rows, int cols, bool has_bias = false) const {
    return take_linear(checkpoint_, prefix_ + name, rows, cols, has_bias);
  }
  // The gain of a norm, NAME.weight [size]. Throws as take_linear.
  std::vector<float> norm(const std::string& name, int size) const {
    return take_vector(checkpoint_, prefix_ + name + ".weight", size);
  }

 private:
  const files::Checkpoint& checkpoint_;
  int layer_;
  std::string prefix_;
};

}  // namespace octet::model
