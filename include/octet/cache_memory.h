// The KV cache's own memory, for looking at what is stored: pointers into it, nothing is copied.
//
// Pointers live as long as the AsyncLLM that gave them. Its engine writes there while requests run, so read
// when none does; never write. Which block holds what is not said: blocks are given out from a pool and found
// again by content.
#pragma once

#include <octet/error.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace octet {

// Keys, or values, of one layer. One KV head's part of a block is contiguous, head_bytes long:
//
//   bytes  [num_blocks, num_kv_heads, head_bytes]
//
// and holds numbers of `dtype`: keys [block_size / key_tile, head_dim, key_tile], dimension by dimension within
// a tile of tokens; values [block_size, head_dim]. Behind them, of the dtypes named per_token_head, stand
// block_size scales (bfloat16), one a token, at token_scales_offset. docs/kv-cache.md says why.
struct CacheTensor {
  std::string dtype;  // "fp8_e4m3", "float16", "int8_per_token_head", …
  const std::byte* bytes = nullptr;
  std::int64_t num_blocks = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_bytes = 0;           // of one head in one block
  std::int64_t token_scales_offset = 0;  // head_bytes where there are none
  const float* scales = nullptr;         // [num_kv_heads]; value = number * scale
};

struct LayerCacheMemory {
  CacheTensor k;
  CacheTensor v;
  std::int64_t block_size = 0;  // tokens
  std::int64_t head_dim = 0;
  std::int64_t key_tile = 0;        // tokens
  const float* q_scales = nullptr;  // [num_q_scales], where the checkpoint has such that are used
  std::int64_t num_q_scales = 0;
};

}  // namespace octet
