// What a checkpoint's quantization_config says of its weights: whether they are stored in a way that
// take_linear reads, and what a person should know about it.
#pragma once

#include <string>

#include "files/checkpoint.h"
#include "files/json_value.h"

namespace octet::model {

// Checks a group's `weights` and `input_activations` of compressed-tensors.
// Throws Error{unsupported} naming the member, what it is and what is run.
void check_weight_scheme(const files::JsonValue& group);

// Checks quant_algo of ModelOpt: FP8, or none. Throws as check_weight_scheme.
void check_weight_algorithm(const files::JsonValue& object);

// Whether any linear layer's weights are quantised, in the safetensors files or in the blocks of a GGUF file.
bool has_quantized_weights(const files::Checkpoint& checkpoint);

// One line about quantised weights: how many of which kind, and that activations which the config would have
// quantised too are not. Empty where there are none.
std::string describe_quantized_weights(const files::Checkpoint& checkpoint);

// Throws Error{unsupported} naming the first tensor that belongs to a quantisation which is not read here.
void refuse_unknown_weights(const files::Checkpoint& checkpoint, const std::string& method);

}  // namespace octet::model
