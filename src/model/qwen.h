// What Qwen2 and Qwen3 share beyond all decoders.
#pragma once

#include "model/config_fields.h"

namespace octet::model {

// use_sliding_window, sliding_window, max_window_layers and layer_types. Throws as read_model_config.
void set_qwen_windows(const files::JsonValue& config, ModelConfig& c);

}  // namespace octet::model
