// Architecture: what makes one decoder family differ from another. A family is one file that defines one
// of these; architecture.cc lists them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "files/checkpoint.h"
#include "model/config.h"
#include "model/layer_tensors.h"
#include "model/step.h"
#include "model/weights.h"

namespace octet::model {

struct Architecture {
  // The names in config.json's "architectures" that this family runs.
  std::vector<std::string> names;
  // All of the config but architecture and model_type. Throws as read_model_config.
  ModelConfig (*read_config)(const files::JsonValue& config);
  // Finds every tensor of a layer by its name and checks its shape. Throws as take_linear.
  LayerWeights (*load_layer)(const LayerTensors& tensors, const ModelConfig& config);
  // One decoder layer over all tokens of the step: hidden [T, D] in, hidden [T, D] out, in place. Writes
  // the layer's keys and values into the step's cache before attending.
  void (*run_layer)(Step& step, const LayerWeights& weights, int layer, float* hidden);
};

// The families, each from its own file.
const Architecture& llama_architecture();
const Architecture& mistral_architecture();
const Architecture& qwen2_architecture();
const Architecture& qwen3_architecture();
const Architecture& qwen3_moe_architecture();
const Architecture& gemma2_architecture();
const Architecture& gemma3_architecture();
const Architecture& phi3_architecture();
const Architecture& smollm3_architecture();
const Architecture& mixtral_architecture();

// Null where no family runs `name`.
const Architecture* find_architecture(std::string_view name);
// All names, for errors.
std::vector<std::string> known_architectures();

// All weights of a checkpoint whose config a family has read. Throws as take_linear.
Weights load_weights(const Architecture& architecture, const files::Checkpoint& checkpoint,
                     const ModelConfig& config);

}  // namespace octet::model
