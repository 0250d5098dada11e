// KernelTable: the functions that differ by instruction set, chosen once at start-up and handed to Model.
//
// Kernels are noexcept, allocate nothing and start no threads: the caller splits the work and gives each
// call its own scratch. All activations are float32. Shapes are written [outer, …, inner], row-major
// unless a stride (in elements) is named.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm.h"
#include "kernels/kv_view.h"
#include "kernels/quantized_attention.h"
#include "kernels/quantized_weights.h"
#include "numeric/dtype.h"

namespace octet::kernels {

// Query heads that one call may take, and so the largest GQA group.
inline constexpr int kMaxGroup = 64;

// Tokens that one gemv call should take at most: 192 KiB of x, well within a second-level cache of 512 KiB; a
// multiple of what every table's tiles take.
constexpr int gemv_block_tokens(int cols) {
  const int tokens = (48 << 10) / cols / 6 * 6;
  return tokens < 12 ? 12 : tokens;
}

// One row range of y = x W^T: y[m, r] for m in [0, num_tokens), r in [row_begin, row_end). A token's result is
// the same bits whatever the other arguments' ranges.
struct GemvArgs {
  const void* weight;  // [rows, cols] in weight_dtype, row-major, at least 2-byte aligned (1 for FP8)
  Dtype weight_dtype;
  int cols;
  int row_begin;
  int row_end;
  const float* x;  // [num_tokens, cols], stride x_stride
  std::int64_t x_stride;
  float* y;  // [num_tokens, rows], stride y_stride; y[m * y_stride + r] is written
  std::int64_t y_stride;
  int num_tokens;  // any number is right; see gemv_block_tokens
};

// The same with both sides in bfloat16, each sum in float32.
struct Bf16GemvArgs {
  const std::uint16_t* weight;  // [rows, cols], row-major
  int cols;
  int row_begin;
  int row_end;
  const std::uint16_t* x;  // [num_tokens, cols], stride x_stride
  std::int64_t x_stride;
  float* y;  // [num_tokens, rows], stride y_stride; y[m * y_stride + r] is written
  std::int64_t y_stride;
  int num_tokens;
};

// Quantise one token's keys and values and write them into the cache at `slot`.
struct StoreKvArgs {
  const float* k;  // [num_kv_heads, head_dim], after rotary embedding
  const float* v;  // [num_kv_heads, head_dim]
  const KvView* kv;
  std::int64_t slot;
};

// One split of one sequence's attention at some KV heads: all query heads of their groups at one position,
// over cached positions [begin, end). The result is partial: see MergeAttentionArgs. Each KV head's is the same
// bits whatever others a call takes; to take all lets the kernel read the pool in the order that it lies in.
struct DecodeAttentionArgs {
  const float* q;       // [num_kv_heads, group, head_dim], contiguous, after rotary embedding
  int group;            // query heads that share a KV head
  float softmax_scale;  // 1/sqrt(head_dim) usually; the kernel multiplies by the head's k_scale
  const KvView* kv;
  int kv_head;                      // the first
  const std::int32_t* block_table;  // block of position p is block_table[p / block_size]
  int begin;
  int end;     // begin < end
  float* out;  // [num_kv_heads, group, head_dim]: sum of exp(score - max) * stored v, not normalised
  float* max;  // [num_kv_heads, group]: the largest score
  float* sum;  // [num_kv_heads, group]: sum of exp(score - max)
  // Scores become softcap * tanh(score / softcap), after the scales and before the softmax; 0 = they stay.
  float softcap = 0.0f;
  int num_kv_heads = 1;  // num_kv_heads * group is in 1..kMaxGroup
};

// The part of a call that is one KV head's, from the call's first on.
constexpr DecodeAttentionArgs of_kv_head(const DecodeAttentionArgs& args, int head) {
  const int row = head * args.group;
  DecodeAttentionArgs one = args;
  one.q += row * args.kv->head_dim;
  one.kv_head += head;
  one.out += row * args.kv->head_dim;
  one.max += row;
  one.sum += row;
  one.num_kv_heads = 1;
  return one;
}

// Merges the splits of one (sequence, kv_head) and finishes: out = v_scale * Σ partial / Σ sum.
struct MergeAttentionArgs {
  const float* partial_out;  // [num_splits, group, head_dim], a split split_stride heads behind the last
  const float* partial_max;  // [num_splits, group], likewise
  const float* partial_sum;  // [num_splits, group], likewise
  int split_stride;
  int num_splits;
  int group;
  int head_dim;
  float v_scale;
  float* out;  // [group, head_dim]
};

// A tile of consecutive query positions of one sequence at one KV head. Query i stands at position
// first_position + i and attends to cached positions (p - window, p], or [0, p] where window is 0; its
// own key and value are in the cache already. Writes the finished output (v_scale included).
struct PrefillAttentionArgs {
  const float* q;         // q[(i * q_stride) + g * head_dim + d], after rotary embedding
  std::int64_t q_stride;  // elements from one query position to the next
  int num_queries;
  int group;
  int first_position;
  int window;
  float softmax_scale;  // the kernel multiplies by k_scale[kv_head]
  const KvView* kv;
  int kv_head;
  const std::int32_t* block_table;
  float* out;  // as q, with out_stride
  std::int64_t out_stride;
  float* scratch;        // prefill_scratch_floats(num_queries, group, head_dim) floats, 64-byte aligned
  float softcap = 0.0f;  // as DecodeAttentionArgs
};

struct KernelTable {
  const char* isa;  // "reference", "avx2", "avx512", "avx512_bf16"

  // out[i] = x[i] / sqrt(mean(x^2) + epsilon) * gain[i]; out may be x.
  void (*rms_norm)(float* out, const float* x, const float* gain, int size, float epsilon) noexcept;

  // Rotates pairs (x[i], x[i + head_dim/2]) of each head: the "rotate half" order of Hugging Face.
  // x [num_heads, head_dim]; cos, sin [head_dim / 2] for this token's position.
  void (*rope)(float* x, const float* cos, const float* sin, int num_heads, int head_dim) noexcept;

  // out[i] = silu(gate[i]) * up[i]; out may be gate.
  void (*silu_mul)(float* out, const float* gate, const float* up, int size) noexcept;

  // x[i] += y[i].
  void (*add)(float* x, const float* y, int size) noexcept;

  // out[i] = float(weight[i]), exactly; `size` elements of `dtype`.
  void (*to_float)(float* out, const void* in, Dtype dtype, std::int64_t size) noexcept;

  // out[i] = x[i] to bfloat16, to nearest even; NaN stays NaN.
  void (*to_bfloat16)(std::uint16_t* out, const float* x, std::int64_t size) noexcept;

  void (*gemv)(const GemvArgs&) noexcept;
  // Null where the CPU has no instruction for it: there gemv of rounded activations does as well.
  void (*gemv_bf16)(const Bf16GemvArgs&) noexcept;
  void (*dequantize)(const DequantizeArgs&) noexcept;
  void (*gemv_quantized)(const QuantizedGemvArgs&) noexcept;
  // Null where gemv and gemv_quantized do many tokens as well.
  void (*pack_activations)(const PackActivationsArgs&) noexcept;
  void (*gemm)(const GemmArgs&) noexcept;
  void (*gemm_quantized)(const QuantizedGemmArgs&) noexcept;
  std::size_t (*gemm_scratch_floats)(int num_tokens, int cols) noexcept;
  void (*store_kv)(const StoreKvArgs&) noexcept;
  void (*decode_attention)(const DecodeAttentionArgs&) noexcept;
  // Queries and softmax weights rounded to bfloat16. Null where the CPU does not multiply that.
  void (*decode_attention_bf16)(const DecodeAttentionArgs&) noexcept;
  void (*merge_attention)(const MergeAttentionArgs&) noexcept;
  void (*prefill_attention)(const PrefillAttentionArgs&) noexcept;
  // Queries, keys, values and softmax weights rounded to bfloat16. Null where the CPU does not multiply that.
  void (*prefill_attention_bf16)(const PrefillAttentionArgs&) noexcept;
  // Floats of scratch that either needs.
  std::size_t (*prefill_scratch_floats)(int num_queries, int group, int head_dim) noexcept;
  // Prefill, or a piece of decode, with FP8 numbers on both sides of its products.
  void (*quantized_attention)(const QuantizedAttentionArgs&) noexcept;
  std::size_t (*quantized_scratch_floats)(AttentionMath math, int num_queries, int group,
                                          int head_dim) noexcept;
};

// The tables. A table whose instructions the CPU lacks must not be called.
const KernelTable& reference_table() noexcept;
const KernelTable& avx2_table() noexcept;
const KernelTable& avx512_table() noexcept;
const KernelTable& avx512_bf16_table() noexcept;

}  // namespace octet::kernels
