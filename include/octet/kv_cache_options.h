// The KV cache's options and figures, with vLLM's names.
#pragma once

#include <octet/error.h>

#include <cstdint>
#include <string>
#include <vector>

namespace octet {

// How much memory the KV cache takes and what it holds. All figures are exact.
struct KvCacheStats {
  std::string dtype;                 // as stored: "bfloat16", "float16", "float32", "fp8_e4m3", "fp8_e5m2"
  std::int64_t bytes_per_token = 0;  // K and V, all layers, without block rounding
  std::int64_t block_size = 0;       // tokens a block
  std::int64_t num_blocks = 0;       // in the pool
  std::int64_t total_bytes = 0;      // of the pool
  std::int64_t capacity_tokens = 0;  // num_blocks * block_size
  std::int64_t used_blocks = 0;      // now
  // Where the scales came from: "checkpoint (60 tensors)", "none found: 1.0" or "not needed".
  std::string scale_source;
  std::string scale_strategy;  // "tensor", "attn_head" or "none" (16- and 32-bit caches)
};

}  // namespace octet
