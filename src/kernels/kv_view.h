// KvView: what a kernel sees of one layer of the paged KV cache. Plain pointers; owns nothing.
//
// The pool of a layer is num_blocks blocks; a block holds block_size slots (tokens) of every KV head:
//
//   K  [block, kv_head, slot / k_tile, head_dim, slot % k_tile]   dim-major in tiles of k_tile slots, so
//      that a dot product runs down the dims with one accumulator lane a slot and no horizontal adds
//   V  [block, kv_head, slot, head_dim]                           slot-major, rows added with weights
//
// stored = value / scale, so value = stored * scale. The scales are per KV head (a per-tensor scale is
// repeated) and stay out of the inner loops: k_scale goes into the softmax scale, v_scale into the final
// normalisation. A slot number is block * block_size + offset in the block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "numeric/dtype.h"

namespace octet::kernels {

// Slots in one K tile for a block of `block_size` slots: 16 where the block is a multiple of it, else 8
// where it is a multiple of that, else 1 (slot-major; only the reference kernels take it).
constexpr int k_tile_slots(int block_size) { return block_size % 16 == 0 ? 16 : block_size % 8 == 0 ? 8 : 1; }

// Bytes that one KV head has of one block, of K or of V.
constexpr std::int64_t head_block_bytes(KvDtype dtype, int block_size, int head_dim) {
  return static_cast<std::int64_t>(block_size) * head_dim * static_cast<std::int64_t>(dtype_bytes(dtype));
}

struct KvView {
  std::byte* k = nullptr;
  std::byte* v = nullptr;
  const float* k_scale = nullptr;  // [num_kv_heads]
  const float* v_scale = nullptr;  // [num_kv_heads]
  KvDtype k_dtype = KvDtype::bfloat16;
  KvDtype v_dtype = KvDtype::bfloat16;
  int num_kv_heads = 0;
  int head_dim = 0;
  int block_size = 0;  // slots in a block
  int k_tile = 0;      // k_tile_slots(block_size)
};

// Element (not byte) offset of the first K or V element of one head in one block; the head's
// block_size * head_dim elements are contiguous from there.
constexpr std::int64_t kv_head_offset(const KvView& kv, std::int64_t block, int kv_head) {
  return (block * kv.num_kv_heads + kv_head) * kv.block_size * kv.head_dim;
}

// Element offset of K[slot_in_block, dim] within its head's block.
constexpr std::int64_t k_offset(const KvView& kv, int slot_in_block, int dim) {
  return static_cast<std::int64_t>(slot_in_block / kv.k_tile) * kv.k_tile * kv.head_dim +
         static_cast<std::int64_t>(dim) * kv.k_tile + slot_in_block % kv.k_tile;
}

// Element offset of V[slot_in_block, dim] within its head's block.
constexpr std::int64_t v_offset(const KvView& kv, int slot_in_block, int dim) {
  return static_cast<std::int64_t>(slot_in_block) * kv.head_dim + dim;
}

}  // namespace octet::kernels
