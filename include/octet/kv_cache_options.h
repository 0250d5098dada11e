// The KV cache's options and figures, with vLLM's names.
#pragma once

#include <octet/error.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace octet {

// How keys and values are to be stored; the fields of LLMOptions of the same names.
struct KvCacheDtypeOptions {
  std::string kv_cache_dtype = "auto";  // one of kv_cache_dtype_names()
  std::string kv_cache_dtype_k = {};    // for the keys alone; empty = kv_cache_dtype
  std::string kv_cache_dtype_v = {};    // for the values alone; empty = kv_cache_dtype
  // Layers that are stored as `auto` would without a quantization_config, in 16 bits: indices from 0, or
  // "sliding_window" for the layers that attend to a window only.
  std::vector<std::string> kv_cache_dtype_skip_layers = {};
};

// The values that kv_cache_dtype may have: "auto", "fp8", …
OCTET_EXPORT const std::vector<std::string>& kv_cache_dtype_names();

// The values that attention_math may have: "fp32" (float32 arithmetic over the stored keys and values), and for
// FP8 caches "fp8" (queries and softmax weights in fp8_e4m3 too, as FlashAttention 3 has them), "fp8-hopper"
// (with the sums of Hopper's tensor cores, in two levels, as vLLM runs them) and "fp8-hopper-plain" (in one).
// See docs/quality.md.
OCTET_EXPORT const std::vector<std::string>& attention_math_names();

// What KV scales are calculated from at the start, instead of being read from the checkpoint: vLLM's
// calculate_kv_scales, which is true or false, with two sources more. See docs/kv-cache.md.
struct CalculateKvScales {
  // "random": random tokens are run through the model; "prompt": the first prompt, before its keys and values
  // are stored; "bound": the weights alone, such that nothing ever saturates; empty: nothing is calculated. The
  // strings "true" and "false" are what the bools are.
  std::string from;

  CalculateKvScales(bool random = false) : from(random ? "random" : "") {}
  CalculateKvScales(const char* source) : from(source) {}
  CalculateKvScales(std::string source) : from(std::move(source)) {}
};

// Layers that share their blocks: those with the same sliding window.
struct KvCacheGroup {
  int window = 0;                    // tokens; blocks behind it are given back. 0 = all are kept
  std::vector<int> layers;           // rising
  std::string dtype;                 // as KvCacheStats
  std::int64_t bytes_per_token = 0;  // K and V of these layers
  std::int64_t num_blocks = 0;       // in the pool of the group
  std::int64_t used_blocks = 0;      // now
};

// How much memory the KV cache takes and what it holds. All figures are exact.
struct KvCacheStats {
  // As stored: "bfloat16", "float16", "float32", "fp8_e4m3", "int8_per_token_head", …; where keys and values
  // differ "k float16, v fp8_e4m3"; where layers differ "fp8_e4m3 (28 layers), float16 (2 layers)".
  std::string dtype;
  std::string k_dtype;               // of the keys, but in skip_layers
  std::string v_dtype;               // of the values, but in skip_layers
  std::vector<int> skip_layers;      // those that kv_cache_dtype_skip_layers left in 16 bits, rising
  std::int64_t bytes_per_token = 0;  // K and V, all layers, without block rounding
  std::int64_t block_size = 0;       // tokens a block
  std::int64_t num_blocks = 0;       // in the pools of all groups
  std::int64_t total_bytes = 0;      // of the pools
  std::int64_t capacity_tokens = 0;  // of sequences of max_model_len; num_blocks * block_size without windows
  double max_concurrency = 0;        // how many of those: capacity_tokens / max_model_len
  std::int64_t used_blocks = 0;      // now
  std::vector<KvCacheGroup> groups;  // by rising window; one where no layer has any
  // Where the scales came from: "checkpoint (60 tensors)", "none found: 1.0", "not needed", "calculated from
  // 512 random tokens", "calculated from the first prompt (37 tokens)" or "calculated from the weights".
  std::string scale_source;
  std::string scale_strategy;  // "tensor", "attn_head" or "none" (16- and 32-bit caches)
  std::string attention_math;  // how attention computes over it: one of attention_math_names()
  // Keys and values that were stored since the start, and those of them that the scales could not represent, so
  // that the largest value stands for them. Counted where scales were calculated from tokens.
  std::optional<std::int64_t> stored_values;
  std::optional<std::int64_t> saturated_values;
};

}  // namespace octet
