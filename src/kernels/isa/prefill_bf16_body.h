// Prefill attention in bfloat16: queries, keys, values and softmax weights rounded to it, all sums and the
// softmax in float32, as FlashAttention computes for bfloat16 models. A vdpbf16ps does two products where a
// float32 multiply-add does one. FP8 and int8 numbers are bfloat16 numbers, so nothing of the cache is lost.
//
// Panels as in prefill_panels.h, but of pairs: two numbers that follow each other along the depth of the
// product stand in one 32-bit lane.
//
//   queries [row tile][head_dim / 2][kRows]                  pairs of dims
//   keys    [chunk / kTileCols][head_dim / 2][kTileCols]     pairs of dims
//   weights [kRows][kScoreStride / 2]                        pairs of slots
//   values  [head_dim / kTileCols][chunk / 2][kTileCols]     pairs of slots
#pragma once

#include "kernels/isa/prefill_body.h"
#include "kernels/isa/store_body.h"
#include "kernels/isa/vec_avx512.h"

namespace octet::kernels {
namespace {

using Pair = std::uint32_t;  // two bfloat16, the first in the low half

// Sixteen pairs (first[i], second[i]).
OCTET_INLINE __m512i pairs_of(VecF16 first, VecF16 second) {
  alignas(64) static constexpr std::uint16_t kInterleave[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                                21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                                11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  __m512bh rounded = _mm512_cvtne2ps_pbh(second.v, first.v);
  return _mm512_permutexvar_epi16(_mm512_load_si512(kInterleave), reinterpret_cast<__m512i&>(rounded));
}

// As multiply_tile, over `depth` pairs.
template <int kVecs, Strides kA, int kCRow, bool kAdd>
OCTET_INLINE void multiply_pairs(const Pair* a, const Pair* b, int depth, float* c,
                                 [[maybe_unused]] const float* start) {
  constexpr int kRows = kTileRows<VecF16>;
  __m512 sum[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) {
      if constexpr (kAdd)
        sum[r][n] = _mm512_mul_ps(_mm512_set1_ps(start[r]), _mm512_loadu_ps(c + r * kCRow + n * 16));
      else
        sum[r][n] = _mm512_setzero_ps();
    }
  }
  for (int k = 0; k < depth; ++k, a += kA.depth, b += kTileCols<VecF16>) {
    __m512bh b_k[kVecs];
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) {
      __m512i bits = _mm512_loadu_si512(b + n * 16);
      b_k[n] = reinterpret_cast<__m512bh&>(bits);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      __m512i bits = _mm512_set1_epi32(static_cast<int>(a[r * kA.row]));
      const __m512bh a_rk = reinterpret_cast<__m512bh&>(bits);
#pragma GCC unroll 2
      for (int n = 0; n < kVecs; ++n) sum[r][n] = _mm512_dpbf16_ps(sum[r][n], b_k[n], a_rk);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) _mm512_storeu_ps(c + r * kCRow + n * 16, sum[r][n]);
  }
}

// One K tile of sixteen slots into sixteen columns of a panel; `scales` of its slots, or ones.
template <Dtype D>
OCTET_INLINE void pair_key_tile16(const std::byte* from, VecF16 scales, int head_dim, Pair* to) {
  constexpr int row = 16 * static_cast<int>(dtype_bytes(D));
  for (int d = 0; d < head_dim; d += 2, from += 2 * row, to += kTileCols<VecF16>)
    _mm512_storeu_si512(to,
                        pairs_of(VecF16::load_raw<D>(from) * scales, VecF16::load_raw<D>(from + row) * scales));
}

// One K tile of eight slots into eight columns: a vector holds two dims of them. `scales` twice.
template <Dtype D>
OCTET_INLINE void pair_key_tile8(const std::byte* from, VecF16 scales, int head_dim, Pair* to) {
  constexpr int row = 16 * static_cast<int>(dtype_bytes(D));
  for (int d = 0; d < head_dim; d += 2, from += row, to += kTileCols<VecF16>) {
    const VecF16 both = VecF16::load_raw<D>(from) * scales;
    const VecF16 second{_mm512_shuffle_f32x4(both.v, both.v, 0xee)};
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(pairs_of(both, second)));
  }
}

OCTET_INLINE VecF16 key_scales(const std::byte* scales, const KvView& kv) {
  if (!is_per_token_head(kv.k_dtype)) return VecF16::broadcast(1.0f);
  if (kv.k_tile == 16) return VecF16::load_raw<Dtype::bfloat16>(scales);
  const VecF8 half = VecF8::load_raw<Dtype::bfloat16>(scales);
  return {_mm512_insertf32x8(_mm512_castps256_ps512(half.v), half.v, 1)};
}

// As convert_keys.
template <Dtype D>
void pair_keys(const HeadPages& pages, int begin, int end, int chunk, Pair* keys) {
  constexpr int kCols = kTileCols<VecF16>;
  const KvView& kv = pages.kv();
  const int k_tile = kv.k_tile;
  pages.for_each_run(begin / k_tile * k_tile, end, [&](int position, int slots, std::int64_t block, int first) {
    std::byte* head = k_head(kv, block, pages.kv_head());
    const std::int64_t slot_bytes = kv.head_dim * std::int64_t{dtype_bytes(D)};
    const std::byte* from = head + first * slot_bytes;
    const std::byte* scales = slot_scale(head, kv.k_dtype, kv, first);
    for (int slot = position - chunk; slot < position - chunk + slots; slot += k_tile) {
      Pair* to = keys + slot / kCols * kCols * kv.head_dim / 2 + slot % kCols;
      if (k_tile == 16)
        pair_key_tile16<D>(from, key_scales(scales, kv), kv.head_dim, to);
      else
        pair_key_tile8<D>(from, key_scales(scales, kv), kv.head_dim, to);
      scales += 2 * k_tile;
      from += k_tile * slot_bytes;
    }
  });
}

// As convert_values; a slot outside of [begin, end) that shares a pair with one inside counts as zeros.
template <Dtype D>
void pair_values(const HeadPages& pages, int begin, int end, int chunk, int chunk_length, Pair* values) {
  constexpr int kCols = kTileCols<VecF16>;
  constexpr int step = 16 * static_cast<int>(dtype_bytes(D));
  const KvView& kv = pages.kv();
  pages.for_each_run(begin, end, [&](int position, int slots, std::int64_t block, int first) {
    std::byte* head = v_head(kv, block, pages.kv_head());
    const auto scale = [&](int slot) {
      return VecF16::broadcast(
          is_per_token_head(kv.v_dtype) ? bfloat16_at(slot_scale(head, kv.v_dtype, kv, slot)) : 1.0f);
    };
    // Blocks and chunks have even lengths, so that a pair lies in one of each.
    for (int slot = first / 2 * 2; slot < first + slots; slot += 2) {
      const bool has_low = slot >= first, has_high = slot + 1 < first + slots;
      const VecF16 low = has_low ? scale(slot) : VecF16::zero(),
                   high = has_high ? scale(slot + 1) : VecF16::zero();
      const std::byte* from = head + slot * (kv.head_dim * std::int64_t{dtype_bytes(D)});
      const std::byte* next = from + kv.head_dim * std::int64_t{dtype_bytes(D)};
      Pair* to = values + (position - first + slot - chunk) / 2 * kCols;
      for (int d = 0; d < kv.head_dim; d += 16, from += step, next += step) {
        const VecF16 a = has_low ? VecF16::load_raw<D>(from) * low : low;
        const VecF16 b = has_high ? VecF16::load_raw<D>(next) * high : high;
        _mm512_storeu_si512(to + d / kCols * chunk_length / 2 * kCols + d % kCols, pairs_of(a, b));
      }
    }
  });
}

class Bf16Prefill : public Prefill<VecF16, Bf16Prefill> {
  using Base = Prefill<VecF16, Bf16Prefill>;
  friend Base;

 public:
  using Base::Base;

 private:
  static Pair* pairs(float* part) { return reinterpret_cast<Pair*>(part); }

  void pack_queries() {
    const float scale = query_scale();
    for (int row = 0; row < sizes_.rows; ++row) {
      const float* from = query(row);
      Pair* to = pairs(queries_) + row / kRows * kRows * head_dim_ / 2 + row % kRows;
      for (int d = 0; d < head_dim_; d += 2)
        to[d / 2 * kRows] = encode<Dtype::bfloat16>(from[d] * scale) |
                            static_cast<Pair>(encode<Dtype::bfloat16>(from[d + 1] * scale)) << 16;
    }
  }

  void convert(int chunk, int begin, int end) {
    const KvView& kv = pages_.kv();
    with_dtype(kv.k_dtype, [&]<Dtype D>() { pair_keys<D>(pages_, begin, end, chunk, pairs(keys_)); });
    with_dtype(kv.v_dtype,
               [&]<Dtype D>() { pair_values<D>(pages_, begin, end, chunk, sizes_.chunk, pairs(values_)); });
  }

  void attend(int tile, int chunk, int first, int last) {
    for (int slot = first / kCols * kCols; slot < last; slot += kCols)
      multiply_pairs<2, Strides{1, kRows}, kScoreStride, false>(pairs(queries_) + tile * kRows * head_dim_ / 2,
                                                                pairs(keys_) + slot * head_dim_ / 2,
                                                                head_dim_ / 2, scores_ + slot, nullptr);
    float keep[16];
    for (int r = 0; r < kRows; ++r)
      keep[r] = soften(tile * kRows + r, scores_ + r * kScoreStride, chunk, first, last);
    const int begin = first / 2, depth = (last + 1) / 2 - begin;
    constexpr Strides kWeights{kScoreStride / 2, 1};
    for (int d = 0; d < head_dim_; d += kCols) {
      float* out = out_ + tile * kRows * sizes_.out_columns + d * kRows;
      const Pair* values = pairs(values_) + d * sizes_.chunk / 2 + begin * kCols;
      if (head_dim_ - d > 16)
        multiply_pairs<2, kWeights, kCols, true>(pairs(weights_) + begin, values, depth, out, keep);
      else
        multiply_pairs<1, kWeights, kCols, true>(pairs(weights_) + begin, values, depth, out, keep);
    }
  }

  void keep_weights(int row, int slot, VecF16 weights) {
    __m256bh rounded = _mm512_cvtneps_pbh(weights.v);
    auto* to = reinterpret_cast<std::uint16_t*>(weights_) + row % kRows * kScoreStride + slot;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i&>(rounded));
  }
};

// KernelTable::prefill_attention_bf16. What the float32 kernel leaves to the reference is left here too.
void prefill_attention_bf16(const PrefillAttentionArgs& args) noexcept {
  if (args.kv->k_tile == 1 || args.kv->head_dim % 16 != 0) return reference_table().prefill_attention(args);
  Bf16Prefill(args).run();
}

}  // namespace
}  // namespace octet::kernels
