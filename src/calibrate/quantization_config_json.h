// The quantization_config that tells a checkpoint's readers that its KV cache has calibrated scales.
//
// Source: compressed-tensors 0.19's QuantizationConfig, as llm-compressor 0.14 writes it.
#pragma once

#include <string>

#include "calibrate/layer_ranges.h"
#include "kv/kv_scales.h"
#include "model/config.h"

namespace octet::calibrate {

// How the scales came about, for the record in the config.
struct Provenance {
  std::string observer;                // "static_minmax", …
  std::string observer_kwargs = "{}";  // JSON object
};

// JSON text of the object. With q among the targets there is a group for the attention modules, whose class is
// the architecture's (LlamaAttention for LlamaForCausalLM); without, kv_cache_scheme alone.
std::string quantization_config_json(const model::ModelConfig& config, kv::ScaleStrategy strategy,
                                     Targets targets, const Provenance& provenance);

}  // namespace octet::calibrate
