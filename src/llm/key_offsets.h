// Warns of keys that an FP8 cache cannot hold apart, because a bias moves them far from zero (Qwen2).
#pragma once

#include <string>

#include "kv/kv_layout.h"
#include "model/config.h"
#include "model/weights.h"

namespace octet::llm {

// One line about the layers whose keys the layout stores in FP8 in steps that are wider than what some channel
// varies by; empty where there are none. Scales do not help: they move the steps and the numbers alike.
std::string describe_key_offsets(const model::ModelConfig& config, const model::Weights& weights,
                                 const kv::KvLayout& layout);

}  // namespace octet::llm
