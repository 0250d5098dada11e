// KvView: what a kernel sees of one layer of the paged KV cache. Plain pointers; owns nothing.
//
// The pool of a layer is num_blocks blocks; a block holds block_size slots (tokens) of every KV head:
//
//   K  [block, kv_head, slot / k_tile, head_dim, slot % k_tile]   dim-major in tiles of k_tile slots, so
//      that a dot product runs down the dims with one accumulator lane a slot and no horizontal adds
//   V  [block, kv_head, slot, head_dim]                           slot-major, rows added with weights
//
// A dtype that is_per_token_head has a scale (bfloat16) for each slot behind its head's numbers in the block:
//
//   one head's part of a block: [numbers of all slots] [scale of slot 0] [scale of slot 1] …
//
// so that it stays contiguous. The scale of a key multiplies its score, that of a value its softmax weight.
//
// Of the other dtypes: stored = value / scale, so value = stored * scale. The scales are per KV head (a
// per-tensor scale is repeated) and stay out of the inner loops: k_scale goes into the softmax scale, v_scale
// into the final normalisation. A slot number is block * block_size + offset in the block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "numeric/dtype.h"

namespace octet::kernels {

// Slots in one K tile for a block of `block_size` slots: 16 where the block is a multiple of it, else 8
// where it is a multiple of that, else 1 (slot-major; only the reference kernels take it).
constexpr int k_tile_slots(int block_size) { return block_size % 16 == 0 ? 16 : block_size % 8 == 0 ? 8 : 1; }

// Bytes of the numbers that one KV head has in one block, of K or of V: the scales of the slots, where there
// are any, begin behind as many.
constexpr std::int64_t head_numbers_bytes(KvDtype dtype, int block_size, int head_dim) {
  return static_cast<std::int64_t>(block_size) * head_dim * static_cast<std::int64_t>(dtype_bytes(dtype));
}

// Bytes of all that one KV head has in one block, of K or of V.
constexpr std::int64_t head_block_bytes(KvDtype dtype, int block_size, int head_dim) {
  return head_numbers_bytes(dtype, block_size, head_dim) +
         static_cast<std::int64_t>(block_size) * static_cast<std::int64_t>(vector_scale_bytes(dtype));
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

// One head's part of one block of K, and of V.
constexpr std::byte* k_head(const KvView& kv, std::int64_t block, int kv_head) {
  return kv.k + (block * kv.num_kv_heads + kv_head) * head_block_bytes(kv.k_dtype, kv.block_size, kv.head_dim);
}
constexpr std::byte* v_head(const KvView& kv, std::int64_t block, int kv_head) {
  return kv.v + (block * kv.num_kv_heads + kv_head) * head_block_bytes(kv.v_dtype, kv.block_size, kv.head_dim);
}

// The scale of one slot, of a head's part of a block of a dtype that is_per_token_head.
constexpr std::byte* slot_scale(std::byte* head, KvDtype dtype, const KvView& kv, int slot_in_block) {
  return head + head_numbers_bytes(dtype, kv.block_size, kv.head_dim) +
         slot_in_block * static_cast<std::int64_t>(vector_scale_bytes(dtype));
}

// Element offset of K[slot_in_block, dim] within its head's part of the block.
constexpr std::int64_t k_offset(const KvView& kv, int slot_in_block, int dim) {
  return static_cast<std::int64_t>(slot_in_block / kv.k_tile) * kv.k_tile * kv.head_dim +
         static_cast<std::int64_t>(dim) * kv.k_tile + slot_in_block % kv.k_tile;
}

// Element offset of V[slot_in_block, dim] within its head's part of the block.
constexpr std::int64_t v_offset(const KvView& kv, int slot_in_block, int dim) {
  return static_cast<std::int64_t>(slot_in_block) * kv.head_dim + dim;
}

}  // namespace octet::kernels
