// Decode attention, over any vector struct V: all query heads of one KV head at one position.
//
// The cache is read once, in chunks of positions small enough for the first-level cache: scores of the
// chunk, online softmax, weighted sum of its values. Each vector of 16 stored numbers is converted once
// for a tile of heads. Keys stand [dim][slots of the tile], so a score is a chain of multiply-adds down the
// dims in its own lane. Factors stay out of the inner loops: softmax_scale, k_scale and the raw factor of the
// key's type multiply the scores, the raw factor of the value's type multiplies the sum at the end, and
// v_scale is merge_attention's.
//
// Where keys or values have a scale for every token, the key's multiplies its score and the value's its softmax
// weight: two multiplications a position and head, none a number.
//
// Slots outside [begin, end) may hold anything, NaN included: their scores are replaced, not multiplied
// away, and their values are not read.
//
// A stored NaN makes the result NaN, but for fp8_e4m3, whose NaN code counts as ±480 (vec_avx2.h; prefill
// attention agrees). To look for it would cost two instructions beside the seventeen that sixteen numbers
// take now, and it never stands alone: store_kv writes it only where the key or value was NaN, and then the
// query, and with it the output, of the same token is NaN too.
#pragma once

#include "kernels/isa/decode_chunk.h"
#include "kernels/isa/softcap_body.h"

namespace octet::kernels {
namespace {

// Sixteen stored numbers a step, taken kSteps steps at a time.
//
// On AVX2, FP8 goes through float16 in a buffer of the first-level cache: vcvtph2ps from memory needs no
// shuffle, while from a register it needs one that takes a slot of a multiply-add unit on Zen 3 and on Intel
// (measured on Zen 3: 4 conversions beside 12 multiply-adds take 8 cycles from registers, 6 from memory).
// Sixteen at once, on AVX-512, need none from a register either, and are up to a tenth faster from there (Zen
// 4).
inline constexpr int kSteps = 8;

template <class V, Dtype D>
struct Staged {
  static constexpr int vecs = 16 / V::width;
  static constexpr bool staged = is_fp8(D) && V::width == 8;
  static constexpr Dtype loaded = staged ? Dtype::float16 : D;
  static constexpr std::int64_t size = dtype_bytes(D);

  // Groups of `groups` steps that lie side by side, one group each `stride` bytes.
  OCTET_INLINE Staged(const std::byte* p, std::int64_t stride, int groups) : source_(p), stride_(stride) {
    if constexpr (staged) {
      for (int i = 0; i < kSteps; ++i)
        _mm256_store_si256(reinterpret_cast<__m256i*>(half_ + 16 * i),
                           widen16<D>(p + (i / groups) * stride + (i % groups) * 16 * size));
      __asm__ volatile("" ::: "memory");  // or the compiler would keep the halves in registers
    }
  }
  OCTET_INLINE void load(int step, int groups, V (&out)[vecs]) const {
    if constexpr (staged)
      V::template load_raw16<loaded>(half_ + 16 * step, out);
    else
      V::template load_raw16<loaded>(source_ + (step / groups) * stride_ + (step % groups) * 16 * size, out);
  }

 private:
  const std::byte* source_;
  std::int64_t stride_;
  alignas(64) std::uint16_t half_[staged ? 16 * kSteps : 1];
};

// scores[h * kChunk + p] = q[h] · k[p] / kRawFactor, for H heads and every position of the chunk's tiles.
// A step is one dim of 16 slots, or two dims of 8.
template <class V, int Tile, Dtype D, int H>
void score_chunk(const Chunk& chunk, const float* q, int head_dim, float* scores) {
  constexpr int vecs = 16 / V::width;
  constexpr int dims = 16 / Tile;
  constexpr int chains = H * vecs >= 6 ? 1 : H * vecs >= 3 ? 2 : 4;  // enough to hide the latency of fma
  for (int t = 0; t < chunk.num_tiles; ++t) {
    const std::byte* k = chunk.tiles[t].k;
    const std::int64_t ahead = chunk.ahead[t].k - k;
    V sums[chains][H][vecs];
    for (auto& chain : sums)
      for (auto& head : chain)
        for (V& sum : head) sum = V::zero();
    for (int d = 0; d < head_dim; d += dims * kSteps) {
      const Staged<V, D> staged(k, 16 * dtype_bytes(D), 1);
      prefetch<16 * kSteps * dtype_bytes(D)>(k + ahead);
      k += kSteps * 16 * dtype_bytes(D);
#pragma GCC unroll 8
      for (int i = 0; i < kSteps; ++i) {
        V keys[vecs];
        staged.load(i, 1, keys);
        for (int h = 0; h < H; ++h) {
          const float* query = q + h * head_dim + d + i * dims;
          V(&sum)[vecs] = sums[i % chains][h];
          for (int j = 0; j < vecs; ++j) sum[j] = fma(V::broadcast(query[dims == 1 ? 0 : j]), keys[j], sum[j]);
        }
      }
    }
    for (int h = 0; h < H; ++h) {
      for (int c = 1; c < chains; ++c)
        for (int j = 0; j < vecs; ++j) sums[0][h][j] = sums[0][h][j] + sums[c][h][j];
      float* row = scores + h * kChunk + t * Tile;
      if constexpr (dims == 2) {
        (sums[0][h][0] + sums[0][h][vecs - 1]).store(row);
      } else {
        for (int j = 0; j < vecs; ++j) sums[0][h][j].store(row + j * V::width);
      }
    }
  }
}

// out[h][dims] += sum over the chunk's positions of weights[h][p] * v[p], for H heads and G * 16 dims.
template <class V, Dtype D, int H, int G>
OCTET_INLINE void add_values(const Chunk& chunk, const float* weights, int head_dim, int dim, float* out) {
  constexpr int vecs = 16 / V::width;
  constexpr int slots = kSteps / G;
  constexpr std::int64_t size = dtype_bytes(D);
  constexpr int block_bytes = 16 * kSteps * static_cast<int>(size);
  const std::int64_t row = head_dim * size;
  V sums[H][G][vecs];
  for (int h = 0; h < H; ++h)
    for (int g = 0; g < G; ++g)
      for (int j = 0; j < vecs; ++j) sums[h][g][j] = V::load(out + h * head_dim + dim + g * 16 + j * V::width);
  const auto add = [&](int g, const V(&values)[vecs], const float* weight) __attribute__((always_inline)) {
    for (int h = 0; h < H; ++h)
      for (int j = 0; j < vecs; ++j)
        sums[h][g][j] = fma(V::broadcast(weight[h * kChunk]), values[j], sums[h][g][j]);
  };
  for (int t = 0; t < chunk.num_tiles; ++t) {
    int p = t == 0 ? chunk.begin : 0;
    const int last = chunk.end - t * chunk.tile < chunk.tile ? chunk.end - t * chunk.tile : chunk.tile;
    const std::byte* v = chunk.tiles[t].v + p * row + dim * size;
    const float* weight = weights + t * chunk.tile + p;
    // The blocks of steps of all passes over the dims share the next tile's bytes among them.
    const std::byte* ahead = chunk.ahead[t].v + dim / (16 * G) * (chunk.tile / slots) * block_bytes;
    for (; p + slots <= last; p += slots, v += slots * row, weight += slots) {
      const Staged<V, D> staged(v, row, G);
      prefetch<block_bytes>(ahead);
      ahead += block_bytes;
#pragma GCC unroll 8
      for (int i = 0; i < kSteps; ++i) {
        V values[vecs];
        staged.load(i, G, values);
        add(i % G, values, weight + i / G);
      }
    }
    for (; p < last; ++p, v += row, ++weight)
      for (int g = 0; g < G; ++g) {
        V values[vecs];
        V::template load_raw16<D>(v + g * 16 * size, values);
        add(g, values, weight);
      }
  }
  for (int h = 0; h < H; ++h)
    for (int g = 0; g < G; ++g)
      for (int j = 0; j < vecs; ++j) sums[h][g][j].store(out + h * head_dim + dim + g * 16 + j * V::width);
}

template <class V, Dtype D, int H>
void value_chunk(const Chunk& chunk, const float* weights, int head_dim, float* out) {
  constexpr int vecs = 16 / V::width;
  constexpr int groups = H * vecs >= 6 ? 1 : H * vecs >= 3 ? 2 : 4;
  int dim = 0;
  for (; dim + groups * 16 <= head_dim; dim += groups * 16)
    add_values<V, D, H, groups>(chunk, weights, head_dim, dim, out);
  if constexpr (groups > 1)
    for (; dim < head_dim; dim += 16) add_values<V, D, H, 1>(chunk, weights, head_dim, dim, out);
}

using ScoreChunk = void (*)(const Chunk&, const float* q, int head_dim, float* scores);
using ValueChunk = void (*)(const Chunk&, const float* weights, int head_dim, float* out);

// The functions for 1..6 heads of one pair of stored types.
inline constexpr int kHeadTile = 6;

template <class V, int Tile, Dtype D>
inline constexpr ScoreChunk kScoreChunk[kHeadTile] = {score_chunk<V, Tile, D, 1>, score_chunk<V, Tile, D, 2>,
                                                      score_chunk<V, Tile, D, 3>, score_chunk<V, Tile, D, 4>,
                                                      score_chunk<V, Tile, D, 5>, score_chunk<V, Tile, D, 6>};
template <class V, Dtype D>
inline constexpr ValueChunk kValueChunk[kHeadTile] = {value_chunk<V, D, 1>, value_chunk<V, D, 2>,
                                                      value_chunk<V, D, 3>, value_chunk<V, D, 4>,
                                                      value_chunk<V, D, 5>, value_chunk<V, D, 6>};

template <class V, int Tile>
const ScoreChunk* score_functions(Dtype dtype) {
  switch (code_dtype(dtype)) {
    case Dtype::float32:
      return kScoreChunk<V, Tile, Dtype::float32>;
    case Dtype::float16:
      return kScoreChunk<V, Tile, Dtype::float16>;
    case Dtype::bfloat16:
      return kScoreChunk<V, Tile, Dtype::bfloat16>;
    case Dtype::fp8_e4m3:
      return kScoreChunk<V, Tile, Dtype::fp8_e4m3>;
    case Dtype::fp8_e5m2:
      return kScoreChunk<V, Tile, Dtype::fp8_e5m2>;
    case Dtype::int8_per_token_head:
      return kScoreChunk<V, Tile, Dtype::int8_per_token_head>;
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      break;  // code_dtype is neither
  }
  return nullptr;
}

template <class V>
const ValueChunk* value_functions(Dtype dtype) {
  switch (code_dtype(dtype)) {
    case Dtype::float32:
      return kValueChunk<V, Dtype::float32>;
    case Dtype::float16:
      return kValueChunk<V, Dtype::float16>;
    case Dtype::bfloat16:
      return kValueChunk<V, Dtype::bfloat16>;
    case Dtype::fp8_e4m3:
      return kValueChunk<V, Dtype::fp8_e4m3>;
    case Dtype::fp8_e5m2:
      return kValueChunk<V, Dtype::fp8_e5m2>;
    case Dtype::int8_per_token_head:
      return kValueChunk<V, Dtype::int8_per_token_head>;
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      break;  // code_dtype is neither
  }
  return nullptr;
}

// Turns one head's scores of a chunk into weights exp(score - max), 0 outside [begin, end), and brings the
// head's running sums to the new maximum. Scores are multiplied by the slots' key scales, and the weights, once
// they are summed, by the slots' value scales, where there are any (else null).
template <class V>
void soften_chunk(const Chunk& chunk, float scale, const float* k_scales, const float* v_scales, float* scores,
                  int head_dim, float* out, float& peak, float& sum) {
  const float infinity = __builtin_inff();
  const V minus_infinity = V::broadcast(-infinity);
  V largest = minus_infinity;
  for (int p = 0; p < chunk.end; p += V::width) {
    V score = V::load(scores + p) * V::broadcast(scale);
    if (k_scales != nullptr) score = score * V::load(k_scales + p);
    score = score.keep(chunk.begin - p, chunk.end - p, minus_infinity);
    score.store(scores + p);
    largest = max(score, largest);
  }
  const float chunk_max = largest.reduce_max();
  if (chunk_max > peak) {
    const float factor = peak == -infinity ? 0.0f : scalar_exp<V>(peak - chunk_max);
    scale_row<V>(out, factor, head_dim);
    sum *= factor;
    peak = chunk_max;
  }
  // Where every score is -inf or NaN so far, subtracting it would turn the former into the latter.
  const V subtrahend = V::broadcast(peak == -infinity ? 0.0f : peak);
  V total = V::zero();
  for (int p = 0; p < chunk.end; p += V::width) {
    const V weight = exp(V::load(scores + p) - subtrahend);
    (v_scales != nullptr ? weight * V::load(v_scales + p) : weight).store(scores + p);
    total = total + weight;
  }
  sum += total.reduce_add();
}

template <class V, int Tile>
void decode_tiles(const DecodeAttentionArgs& args) {
  const KvView& kv = *args.kv;
  const float scale = args.softmax_scale * kv.k_scale[args.kv_head] * raw_factor(kv.k_dtype);
  const ScoreChunk* score = score_functions<V, Tile>(kv.k_dtype);
  const ValueChunk* value = value_functions<V>(kv.v_dtype);
  const int head_tiles = (args.group + kHeadTile - 1) / kHeadTile;
  alignas(64) float scores[kMaxGroup * kChunk];
  SlotScales scales;
  const float* k_scales = is_per_token_head(kv.k_dtype) ? scales.k : nullptr;
  const float* v_scales = is_per_token_head(kv.v_dtype) ? scales.v : nullptr;
  for (int g = 0; g < args.group; ++g) {
    args.max[g] = -__builtin_inff();
    args.sum[g] = 0.0f;
  }
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(args.group) * kv.head_dim; i += V::width)
    V::zero().store(args.out + i);

  for (ChunkStream stream(args); stream.advance();) {
    const Chunk& chunk = stream.chunk();
    for (int i = 0; i < head_tiles; ++i) {
      const int first = args.group * i / head_tiles;
      const int heads = args.group * (i + 1) / head_tiles - first;
      score[heads - 1](chunk, args.q + first * kv.head_dim, kv.head_dim, scores + first * kChunk);
    }
    if (k_scales != nullptr) load_scales<V>(chunk, &CacheTile::k_scale, scales.k);
    if (v_scales != nullptr) load_scales<V>(chunk, &CacheTile::v_scale, scales.v);
    if (args.softcap > 0.0f)
      for (int g = 0; g < args.group; ++g)
        cap_scores<V>(scores + g * kChunk, chunk.end, scale, k_scales, args.softcap);
    // Capped scores are scaled already.
    for (int g = 0; g < args.group; ++g)
      soften_chunk<V>(chunk, args.softcap > 0.0f ? 1.0f : scale, args.softcap > 0.0f ? nullptr : k_scales,
                      v_scales, scores + g * kChunk, kv.head_dim, args.out + g * kv.head_dim, args.max[g],
                      args.sum[g]);
    for (int i = 0; i < head_tiles; ++i) {
      const int first = args.group * i / head_tiles;
      const int heads = args.group * (i + 1) / head_tiles - first;
      value[heads - 1](chunk, scores + first * kChunk, kv.head_dim, args.out + first * kv.head_dim);
    }
  }
  if (const float factor = raw_factor(kv.v_dtype); factor != 1.0f)
    scale_row<V>(args.out, factor, args.group * kv.head_dim);
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
      const float split_max = args.partial_max[s * args.group + g];
      max = split_max > max ? split_max : max;
    }
    float* out = args.out + static_cast<std::int64_t>(g) * args.head_dim;
    float sum = 0.0f;
    for (int s = 0; s < args.num_splits; ++s) {
      const std::int64_t head = static_cast<std::int64_t>(s) * args.group + g;
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
