// Subject: one configuration under test, a model with a cache of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kv/kv_cache.h"
#include "model/forward.h"

namespace octet::evaluate {

struct Subject {
  std::string name;     // for errors
  model::Model* model;  // not owned; subjects of one checkpoint share it
  kv::KvCache* cache;   // not owned, and nobody else's: every measurement writes it from slot 0 on
  kernels::AttentionMath math = kernels::AttentionMath::fp32;
  Dtype dtype = Dtype::float32;  // of activations: Model::set_dtype
};

// Called between steps with the tokens done so far and all there are. May throw to end a measurement: nothing
// is left in a state that matters.
using Progress = std::function<void(std::int64_t done, std::int64_t total)>;

// The most tokens that one step may have: what the models were built for.
inline constexpr int kMostStepTokens = 512;

}  // namespace octet::evaluate
