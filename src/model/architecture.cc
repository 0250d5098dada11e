#include "model/architecture.h"

#include <algorithm>
#include <array>

namespace octet::model {

namespace {

const std::array<const Architecture*, 2>& architectures() {
  static const std::array all{&llama_architecture(), &mistral_architecture()};
  return all;
}

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture* architecture : architectures())
    if (std::find(architecture->names.begin(), architecture->names.end(), name) != architecture->names.end())
      return architecture;
  return nullptr;
}

std::vector<std::string> known_architectures() {
  std::vector<std::string> names;
  for (const Architecture* architecture : architectures())
    names.insert(names.end(), architecture->names.begin(), architecture->names.end());
  return names;
}

Weights load_weights(const Architecture& architecture, const files::Checkpoint& checkpoint,
                     const ModelConfig& c) {
  Weights weights;
  weights.embedding = take_linear(checkpoint, "model.embed_tokens", c.vocab_size, c.hidden_size, false);
  for (int layer = 0; layer < c.num_layers; ++layer)
    weights.layers.push_back(architecture.load_layer(LayerTensors(checkpoint, layer), c));
  weights.final_norm = take_vector(checkpoint, "model.norm.weight", c.hidden_size);
  weights.lm_head = c.tie_word_embeddings
                        ? weights.embedding
                        : take_linear(checkpoint, "lm_head", c.vocab_size, c.hidden_size, false);
  return weights;
}

}  // namespace octet::model
