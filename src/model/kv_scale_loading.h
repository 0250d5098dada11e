// Finding KV scales in a checkpoint, checking every one of them, and saying what was found.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "files/checkpoint.h"
#include "kv/kv_scales.h"
#include "model/config.h"

namespace octet::model {

// One scale tensor that stands in the checkpoint.
struct ScaleFinding {
  std::string tensor;  // its name in the file
  char which;          // 'k', 'v' or 'q'
  int layer;
  bool used;  // false: refused or not needed; `note` says why
  std::string note;
  std::vector<float> values;
};

// What a checkpoint says about its KV cache.
struct KvScaleReport {
  std::optional<kv::KvScales> scales;      // nothing where the checkpoint has no k/v scales
  std::vector<ScaleFinding> findings;      // in layer order
  std::optional<KvDtype> requested_dtype;  // quantization_config asks for an FP8 cache
  std::string quant_method;                // "compressed-tensors", …; empty where there is none
  std::vector<std::string> warnings;       // one line each, naming the tensor
};

// Reads quantization_config (or hf_quant_config-style kv_cache_quant_algo in it) and every scale tensor.
// Throws Error{invalid_file} naming the tensor: NaN, infinite, zero, negative, outside 2^-40..2^40, a wrong
// count, only some layers, k without v, a non-zero zero point. A bad q scale is a warning and is not used.
// Throws Error{unsupported} for a kv_cache_scheme that is not 8-bit static float, or quantised weights.
KvScaleReport load_kv_scales(const files::Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace octet::model
