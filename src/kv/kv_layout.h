// KvLayout: the arithmetic of the paged KV cache. See kernels/kv_view.h for the element order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "numeric/dtype.h"

namespace octet::kv {

struct KvLayout {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int block_size = 16;  // tokens
  KvDtype k_dtype = KvDtype::bfloat16;
  KvDtype v_dtype = KvDtype::bfloat16;

  // Throws Error{invalid_argument} unless every number is positive, block_size is 8, 16, 32, 64 or 128.
  void validate() const;

  std::int64_t k_block_bytes() const;  // K of one block of one layer
  std::int64_t v_block_bytes() const;
  std::int64_t bytes_per_token() const;                // K and V of all layers
  std::int64_t bytes_per_block() const;                // block_size * bytes_per_token
  std::int64_t blocks_for(std::int64_t tokens) const;  // rounded up
};

}  // namespace octet::kv
