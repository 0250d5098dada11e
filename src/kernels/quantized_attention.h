// Attention in the quantised domain: both matrix products take FP8 numbers, as FlashAttention 3 does it on
// Hopper.
//
//   scores   S = q8 · k8 * (q_scale * k_scale * softmax_scale)      q8 = e4m3(q / q_scale), k8 as stored
//   weights  w = exp(S - m), m the largest score of the row so far; sum += w, in float32 and not quantised
//   values   out = out * exp(m_before - m) + p8 · v8                p8 = e4m3(2^8 * w), v8 as stored
//   result   out * v_scale / (2^8 * sum)
//
// Cached positions are taken in tiles of kQuantizedTile that begin at multiples of it, the latest tile first,
// and m is brought up to date once a tile: FlashAttention 3's loop (hopper/mainloop_fwd_sm90_tma_gmma_ws.hpp).
// That order and length are part of the result, since w is rounded relative to the m of its moment: they are
// the same for every kernel, batch and number of threads. FlashAttention 3 itself takes tiles of 64 to 224
// positions, by head size and version; vLLM's build of it takes 128 for head sizes 64, 96 and 256 where it
// accumulates in two levels.
//
// The factor 2^8 is FlashAttention 3's too (Max_offset in hopper/softmax.h): weights in [0, 1] would leave the
// upper half of e4m3's exponents unused, and those below 2^-10 would vanish; so they are stored in [0, 256], of
// 448.
//
// How the products of FP8 numbers, which are exact, are added up is AttentionMath's choice. Hopper's FP8 matrix
// instruction (wgmma, 32 products deep) does it like this: the products and the accumulator are aligned to the
// largest of their exponents (that of a product being the sum of its factors'), cut off after kHopperFraction
// fraction bits, added exactly, and the sum is cut off after kHopperFraction fraction bits of its own. Sources:
// DeepSeek-V3 Technical Report (arXiv 2412.19437), sections 3.3.2 and 3.5.2: 32 products aligned by
// right-shifting, the highest 14 bits of each kept, the accumulator of 14 bits as well; MMA-Sim (Xie et al.,
// arXiv 2511.10909), which found 13 fraction bits, truncation and results of 8 exponent and 13 fraction bits,
// bit for bit with the hardware.
//
// Only caches of fp8_e4m3 and fp8_e5m2: a scale for every token would have to go between p8 and v8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kv_view.h"

namespace octet::kernels {

enum class AttentionMath : std::uint8_t {
  fp32,        // no quantisation but the cache's: decode_attention and prefill_attention
  fp8,         // products of FP8 numbers, added in float32
  fp8_hopper,  // the tensor core's narrow sums; those of a tile of values are added up in float32, as vLLM's
               // FlashAttention 3 does ("two-level accumulation")
  fp8_hopper_plain,  // the narrow accumulator all along the values, as FlashAttention 3 does it by itself
};

constexpr bool is_hopper(AttentionMath math) {
  return math == AttentionMath::fp8_hopper || math == AttentionMath::fp8_hopper_plain;
}

inline constexpr int kQuantizedTile = 128;           // positions
inline constexpr float kWeightFactor = 256.0f;       // p8 = e4m3(kWeightFactor * w)
inline constexpr int kHopperDepth = 32;              // products that one instruction adds up
inline constexpr int kHopperFraction = 13;           // bits
inline constexpr float kQueryScaleDivisor = 448.0f;  // q_scale of a query on the fly: its absmax / this

// Consecutive query positions of one sequence at one KV head. Query i stands at first_position + i and attends
// to the cached positions of [begin, end) up to its own that its window reaches; its own key and value are in
// the cache already. Each query attends to at least one position.
struct QuantizedAttentionArgs {
  AttentionMath math;
  const float* q;         // q[i * q_stride + g * head_dim + d], after rotary embedding
  std::int64_t q_stride;  // elements from one query position to the next
  const float* q_scale;   // [group]: q = q8 * scale; null = from each query's own absmax
  int num_queries;
  int group;  // query heads that share this KV head, 1..kMaxGroup
  int first_position;
  int window;           // positions, the own one included; 0 = all
  int begin, end;       // of a piece of decode attention; 0 and first_position + num_queries for a prompt
  float softmax_scale;  // 1/sqrt(head_dim) usually
  const KvView* kv;     // both dtypes is_fp8
  int kv_head;
  const std::int32_t* block_table;
  float* out;  // as q, with out_stride
  std::int64_t out_stride;
  // [num_queries, group], or both null. With them the result is partial, as MergeAttentionArgs takes it: out is
  // not divided by the sum and v_scale is left out.
  float* max;
  float* sum;
  float* scratch;        // quantized_scratch_floats(math, num_queries, group, head_dim) floats, 64-byte aligned
  float softcap = 0.0f;  // scores S become softcap * tanh(S / softcap); 0 = they stay
};

}  // namespace octet::kernels
