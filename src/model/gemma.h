// What Gemma-2 and Gemma-3 share beyond all decoders: norms that multiply by 1 + weight, around attention and
// MLP as well as before them; embeddings scaled by sqrt(hidden_size); gelu; a scale of attention of their own.
#pragma once

#include "model/config_fields.h"
#include "model/layer_tensors.h"

namespace octet::model {

// Windows and ropes apart, which the families differ in. Throws as read_model_config.
ModelConfig read_gemma(const files::JsonValue& config, DecoderDefaults defaults);

// The member `key`: `absent` where it is not there at all, 0 (no cap) where it is null.
double read_softcap(const files::JsonValue& config, const char* key, double absent);

LayerWeights load_gemma_layer(const LayerTensors& tensors, const ModelConfig& config);

}  // namespace octet::model
