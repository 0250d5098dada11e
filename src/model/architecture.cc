#include "model/architecture.h"

#include <algorithm>

namespace octet::model {

namespace {

const std::vector<const Architecture*>& architectures() {
  static const std::vector<const Architecture*> all{
      &llama_architecture(),   &mistral_architecture(),  &qwen2_architecture(), &qwen3_architecture(),
      &gemma2_architecture(),  &gemma3_architecture(),   &phi3_architecture(),  &smollm3_architecture(),
      &mixtral_architecture(), &qwen3_moe_architecture()};
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
    weights.layers.push_back(architecture.load_layer(LayerTensors(checkpoint, c, layer), c));
  weights.final_norm = take_norm(checkpoint, "model.norm.weight", c.hidden_size, c.norm_plus_one ? 1.0f : 0.0f);
  weights.lm_head = c.tie_word_embeddings
                        ? weights.embedding
                        : take_linear(checkpoint, "lm_head", c.vocab_size, c.hidden_size, false);
  return weights;
}

}  // namespace octet::model
