// What a checkpoint's quantization_config asks of the KV cache, and the refusal of what is not run elsewhere.
#pragma once

#include <optional>
#include <string>

#include "files/checkpoint.h"
#include "kv/kv_scales.h"
#include "numeric/dtype.h"

namespace octet::model {

struct CacheRequest {
  std::string quant_method;      // "compressed-tensors", "fp8", "modelopt"; empty: nothing is stated
  std::optional<KvDtype> dtype;  // of the cache, where one is asked for
  std::optional<kv::ScaleStrategy> strategy;  // where it is stated
};

// Reads quantization_config in config.json, and hf_quant_config.json beside it where there is one.
// Throws Error{unsupported}: a method that is not known, a cache that is not 8-bit static symmetric float,
// weights stored otherwise than weight_quantization.h has it (naming the group or the tensor);
// Error{invalid_file} for broken JSON. Source: compressed-tensors 0.19's QuantizationConfig, AutoFP8's and
// ModelOpt's configs.
CacheRequest read_cache_request(const files::Checkpoint& checkpoint);

}  // namespace octet::model
