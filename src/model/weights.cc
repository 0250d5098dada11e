#include "model/weights.h"

namespace octet::model {

std::vector<std::pair<std::string, Linear*>> linear_layers(LayerWeights& layer) {
  std::vector<std::pair<std::string, Linear*>> layers{
      {"self_attn.q_proj", &layer.q}, {"self_attn.k_proj", &layer.k}, {"self_attn.v_proj", &layer.v},
      {"self_attn.o_proj", &layer.o}, {"mlp.gate_proj", &layer.gate}, {"mlp.up_proj", &layer.up},
      {"mlp.down_proj", &layer.down}};
  for (std::size_t i = 0; i < layer.experts.size(); ++i) {
    const std::string prefix = "mlp.experts." + std::to_string(i) + ".";
    layers.emplace_back(prefix + "gate_proj", &layer.experts[i].gate);
    layers.emplace_back(prefix + "up_proj", &layer.experts[i].up);
    layers.emplace_back(prefix + "down_proj", &layer.experts[i].down);
  }
  std::erase_if(layers, [](const auto& named) { return named.second->weight == nullptr; });
  return layers;
}

}  // namespace octet::model
