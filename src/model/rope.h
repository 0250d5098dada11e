// Rotary position embedding: the frequencies of one model.
#pragma once

#include <vector>

#include "model/config.h"

namespace octet::model {

// Inverse frequencies [head_dim / 2] in radians a token, stretched as the config says.
// Source: transformers 5.19 modeling_rope_utils (default, linear, llama3), computed in float32 as there.
std::vector<float> inverse_frequencies(const RopeConfig& rope, int head_dim);

}  // namespace octet::model
