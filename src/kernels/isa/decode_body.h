// Decode attention, over any vector struct V: all query heads of some KV heads at one position.
//
// The cache is read once, in chunks of positions small enough for the first-level cache, one KV head's after
// the other's: scores of the chunk, online softmax in units of log2, weighted sum of its values. Each vector of
// 16 stored numbers is converted once for a tile of heads. Keys stand [dim][slots of the tile], so a score is a
// chain of multiply-adds down the dims in its own lane. Factors stay out of the inner loops
// (decode_avx2_body.h, decode_avx512_body.h): softmax_scale, k_scale and the factor of the key's type multiply
// the scores, the factor of the value's type multiplies the sum at the end, and v_scale is merge_attention's.
//
// Where keys or values have a scale for every token, the key's multiplies its score and the value's its softmax
// weight: two multiplications a position and head, none a number.
//
// Slots outside [begin, end) may hold anything, NaN included: their scores are replaced, not multiplied
// away, and their values are not added.
//
// A stored NaN makes the result NaN, but for fp8_e4m3, whose NaN code counts as ±480 (vec_avx2.h; prefill
// attention agrees). To look for it would cost two instructions for each sixteen numbers, and it never stands
// alone: store_kv writes it only where the key or value was NaN, and then the
// query, and with it the output, of the same token is NaN too.
#pragma once

#include "kernels/isa/decode_avx2_body.h"
#include "kernels/isa/softcap_body.h"

namespace octet::kernels {
namespace {

// The products of a chunk, of 1..kHeadTile heads of one stored type.
template <class V, int Tile>
const KeyProduct& key_product(Dtype dtype) {
  switch (code_dtype(dtype)) {
    case Dtype::float32:
      return kKeyProduct<V, Tile, Dtype::float32>;
    case Dtype::float16:
      return kKeyProduct<V, Tile, Dtype::float16>;
    case Dtype::bfloat16:
      return kKeyProduct<V, Tile, Dtype::bfloat16>;
    case Dtype::fp8_e4m3:
      return kKeyProduct<V, Tile, Dtype::fp8_e4m3>;
    case Dtype::fp8_e5m2:
      return kKeyProduct<V, Tile, Dtype::fp8_e5m2>;
    default:  // code_dtype is no other
      return kKeyProduct<V, Tile, Dtype::int8_per_token_head>;
  }
}

template <class V>
const ValueProduct& value_product(Dtype dtype) {
  switch (code_dtype(dtype)) {
    case Dtype::float32:
      return kValueProduct<V, Dtype::float32>;
    case Dtype::float16:
      return kValueProduct<V, Dtype::float16>;
    case Dtype::bfloat16:
      return kValueProduct<V, Dtype::bfloat16>;
    case Dtype::fp8_e4m3:
      return kValueProduct<V, Dtype::fp8_e4m3>;
    case Dtype::fp8_e5m2:
      return kValueProduct<V, Dtype::fp8_e5m2>;
    default:  // code_dtype is no other
      return kValueProduct<V, Dtype::int8_per_token_head>;
  }
}

// Scales one head's scores of a chunk; -inf outside [begin, end). Returns the largest. Where there are k_scales
// (else null), they multiply the scores of their slots too.
template <class V, bool Whole>
OCTET_INLINE float scale_scores(const Chunk& chunk, float scale, const float* k_scales, float* scores) {
  const V minus_infinity = V::broadcast(-__builtin_inff());
  V largest = minus_infinity;
  const int end = Whole ? kChunk : chunk.end;
#pragma GCC unroll 8
  for (int p = 0; p < end; p += V::width) {
    V score = V::load(scores + p) * V::broadcast(scale);
    if (k_scales != nullptr) score = score * V::load(k_scales + p);
    if constexpr (!Whole) score = score.keep(chunk.begin - p, chunk.end - p, minus_infinity);
    score.store(scores + p);
    largest = max(score, largest);
  }
  return largest.reduce_max();
}

// Brings one head's running sums to a new peak.
template <class V>
void raise_peak(float chunk_peak, float* out, int head_dim, float& peak, float& sum) {
  // Of the least peak, -inf, 0.
  const float factor = exp2_of_negative(V::broadcast(peak - chunk_peak)).first_lane();
  scale_row<V>(out, factor, head_dim);
  sum *= factor;
  peak = chunk_peak;
}

// Turns one head's scaled scores into weights 2^(score - peak), each times its slot's value scale once they are
// summed, where there are v_scales (else null). Returns the sum.
template <class V, bool Whole>
OCTET_INLINE float weigh(const Chunk& chunk, const float* v_scales, float peak, float* scores) {
  // Where every score is -inf or NaN so far, subtracting it would turn the former into the latter.
  const V subtrahend = V::broadcast(peak == -__builtin_inff() ? 0.0f : peak);
  V total = V::zero();
  const int end = Whole ? kChunk : chunk.end;
#pragma GCC unroll 8
  for (int p = 0; p < end; p += V::width) {
    const V weight = exp2_of_negative(V::load(scores + p) - subtrahend);
    (v_scales != nullptr ? weight * V::load(v_scales + p) : weight).store(scores + p);
    total = total + weight;
  }
  return total.reduce_add();
}

// The softmax of a chunk, all heads; `scale` includes log2(e). Whole: every position of the chunk counts.
template <class V, bool Whole>
void soften_chunk(const DecodeAttentionArgs& args, const Chunk& chunk, float scale, const float* k_scales,
                  const float* v_scales, float* scores) {
  if (args.softcap > 0.0f) {
    for (int g = 0; g < args.group; ++g)
      cap_scores<V>(scores + g * kChunk, chunk.end, scale, k_scales, args.softcap * kLog2E);
    scale = 1.0f;  // capped scores are scaled already
    k_scales = nullptr;
  }
  const int head_dim = args.kv->head_dim;
  float peaks[kMaxGroup];
  for (int g = 0; g < args.group; ++g)
    peaks[g] = scale_scores<V, Whole>(chunk, scale, k_scales, scores + g * kChunk);
  for (int g = 0; g < args.group; ++g)
    if (peaks[g] > args.max[g])
      raise_peak<V>(peaks[g], args.out + g * head_dim, head_dim, args.max[g], args.sum[g]);
  for (int g = 0; g < args.group; ++g)
    args.sum[g] += weigh<V, Whole>(chunk, v_scales, args.max[g], scores + g * kChunk);
}

template <class V, int Tile>
void decode_tiles(const DecodeAttentionArgs& args) {
  constexpr float ln_2 = 0x1.62e430p-1f;
  const KvView& kv = *args.kv;
  const KeyProduct& keys = key_product<V, Tile>(kv.k_dtype);
  const ValueProduct& values = value_product<V>(kv.v_dtype);
  const int head_tiles = (args.group + kHeadTile - 1) / kHeadTile;
  alignas(64) float scores[kMaxGroup * kChunk];
  SlotScales scales;
  const float* k_scales = is_per_token_head(kv.k_dtype) ? scales.k : nullptr;
  const float* v_scales = is_per_token_head(kv.v_dtype) ? scales.v : nullptr;
  const int rows = args.num_kv_heads * args.group;
  for (int g = 0; g < rows; ++g) {
    args.max[g] = -__builtin_inff();
    args.sum[g] = 0.0f;
  }
  const int size = rows * kv.head_dim;
  for (int i = 0; i < size; i += V::width) V::zero().store(args.out + i);

  for (ChunkStream stream(args); stream.advance();) {
    const Chunk& chunk = stream.chunk();
    const DecodeAttentionArgs of_head = of_kv_head(args, stream.head());
    const float scale = args.softmax_scale * kv.k_scale[of_head.kv_head] * kLog2E * keys.factor;
    for (int i = 0; i < head_tiles; ++i) {
      const int first = args.group * i / head_tiles;
      const int heads = args.group * (i + 1) / head_tiles - first;
      keys.of_heads[heads - 1](chunk, of_head.q + first * kv.head_dim, kv.head_dim, scores + first * kChunk);
    }
    if (k_scales != nullptr) load_scales<V>(chunk, &CacheTile::k_scale, scales.k);
    if (v_scales != nullptr) load_scales<V>(chunk, &CacheTile::v_scale, scales.v);
    if (chunk.begin == 0 && chunk.end == kChunk)
      soften_chunk<V, true>(of_head, chunk, scale, k_scales, v_scales, scores);
    else
      soften_chunk<V, false>(of_head, chunk, scale, k_scales, v_scales, scores);
    for (int i = 0; i < head_tiles; ++i) {
      const int first = args.group * i / head_tiles;
      const int heads = args.group * (i + 1) / head_tiles - first;
      values.of_heads[heads - 1](chunk, scores + first * kChunk, kv.head_dim,
                                 of_head.out + first * kv.head_dim);
    }
  }
  for (int g = 0; g < rows; ++g) args.max[g] *= ln_2;
  if (values.factor != 1.0f) scale_row<V>(args.out, values.factor, size);
  if (values.split)
    for (int i = 0; i < size; i += 16) {
      VecF8 even = VecF8::load(args.out + i), odd = VecF8::load(args.out + i + 8);
      put_in_order(even, odd);
      even.store(args.out + i);
      odd.store(args.out + i + 8);
    }
}

// Tiles of 8 slots are half a wide register, so every V takes them eight lanes wide.
template <class V>
void decode_attention(const DecodeAttentionArgs& args) noexcept {
  const KvView& kv = *args.kv;
  if (kv.head_dim % 16 != 0)
    reference_table().decode_attention(args);
  else if (kv.k_tile == 16)
    decode_tiles<V, 16>(args);
  else if (kv.k_tile == 8)
    decode_tiles<VecF8, 8>(args);
  else
    reference_table().decode_attention(args);
}

template <class V>
void merge_attention(const MergeAttentionArgs& args) noexcept {
  constexpr int w = V::width;
  for (int g = 0; g < args.group; ++g) {
    float max = -__builtin_inff();
    for (int s = 0; s < args.num_splits; ++s) {
      const float split_max = args.partial_max[s * args.split_stride + g];
      max = split_max > max ? split_max : max;
    }
    float* out = args.out + static_cast<std::int64_t>(g) * args.head_dim;
    float sum = 0.0f;
    for (int s = 0; s < args.num_splits; ++s) {
      const std::int64_t head = static_cast<std::int64_t>(s) * args.split_stride + g;
      const float weight = scalar_exp<V>(args.partial_max[head] - max);
      sum += weight * args.partial_sum[head];
      const float* part = args.partial_out + head * args.head_dim;
      for (int d = 0; d < args.head_dim; d += w) {
        const int n = args.head_dim - d < w ? args.head_dim - d : w;
        const V before = s == 0 ? V::zero() : V::load_first(out + d, n);
        fma(V::broadcast(weight), V::load_first(part + d, n), before).store_first(out + d, n);
      }
    }
    const V factor = V::broadcast(args.v_scale / sum);
    for (int d = 0; d < args.head_dim; d += w) {
      const int n = args.head_dim - d < w ? args.head_dim - d : w;
      (V::load_first(out + d, n) * factor).store_first(out + d, n);
    }
  }
}

}  // namespace
}  // namespace octet::kernels
