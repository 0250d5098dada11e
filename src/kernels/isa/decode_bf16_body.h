// Decode attention in vdpbf16ps, for caches whose numbers bfloat16 holds exactly: bfloat16 itself, FP8, int8.
//
// The steps are those of decode_body.h. What differs is the arithmetic. Queries and softmax weights are either
// rounded to bfloat16 (Precision::rounded), or split into two, high + low, good to 2^-17 of each, and a product
// is then two multiply-adds of the thirty-two that one instruction does (Precision::split): multiplying costs
// what it costs in float32, and what is saved is the conversion: of 64 codes at a time, by table, with five
// shuffles (bf16_codes.h), where float32 took twenty instructions. Products and sums are float32. vdpbf16ps
// takes subnormal numbers for zero: of a bfloat16 cache those below 2^-126, of the eight-bit codes none.
//
// Pairs. vdpbf16ps adds the products of two neighbours to one lane. For scores the neighbours are two dims of
// one slot, and two lanes side by side have four of its dims (KeyOrder); they are added at the end of a tile.
// For values they are two slots of one dim, so each lane is a dim; unpacking bytes leaves the dims in another
// order, in which the sums stay until the end (restore_order).
#pragma once

#include "kernels/isa/bf16_codes.h"
#include "kernels/isa/decode_chunk.h"
#include "kernels/isa/softcap_body.h"
#include "kernels/isa/vec_avx512.h"

namespace octet::kernels {
namespace {

// What fits the stack as two bfloat16: kMaxGroup heads of 256 dims.
inline constexpr int kMaxSplitDim = 256;

// How queries and softmax weights become bfloat16.
enum class Precision { rounded, split };

// Rows of floats as two bfloat16; where they are rounded, `low` is not read.
struct SplitRows {
  const std::uint16_t* high;
  const std::uint16_t* low;
};

// A word of W bytes in all lanes: one pair, or two.
template <int W>
OCTET_INLINE __m512i broadcast_pairs(const std::uint16_t* p) {
  if constexpr (W == 4) {
    std::int32_t word;
    __builtin_memcpy(&word, p, 4);
    return _mm512_set1_epi32(word);
  } else {
    static_assert(W == 8);
    long long word;
    __builtin_memcpy(&word, p, 8);
    return _mm512_set1_epi64(word);
  }
}

// Where the numbers of 64 keys go, so that 64-bit lane s of register r has four dims of one slot: with 16 slots
// a tile those of slot 8r + s, with 8 dims 4r … 4r + 3 of slot s.
template <int Tile>
struct KeyOrder {
  alignas(64) std::uint8_t bytes[64];      // of codes whose low and high bytes are unpacked afterwards
  alignas(64) std::uint16_t words[2][32];  // of two registers of bfloat16
  constexpr KeyOrder() : bytes{}, words{} {
    for (int r = 0; r < 2; ++r)
      for (int i = 0; i < 32; ++i) {
        const int slot = i / 4 + (Tile == 16 ? 8 * r : 0), dim = i % 4 + (Tile == 16 ? 0 : 4 * r);
        const int number = dim * Tile + slot;
        words[r][i] = static_cast<std::uint16_t>(number);
        bytes[i / 8 * 16 + r * 8 + i % 8] = static_cast<std::uint8_t>(number);
      }
  }
};
template <int Tile>
inline constexpr KeyOrder<Tile> kKeyOrder{};

// Reads 64 numbers of a tile of keys, 64 / Tile dims, into two registers.
template <int Tile, Dtype D>
class KeyReader {
 public:
  OCTET_INLINE KeyReader() {
    for (int r = 0; r < 2; ++r)
      order_[r] = _mm512_load_si512(D == Dtype::bfloat16 ? static_cast<const void*>(kKeyOrder<Tile>.words[r])
                                                         : kKeyOrder<Tile>.bytes);
  }
  OCTET_INLINE void read(const std::byte* p, __m512i (&pairs)[2]) const {
    if constexpr (D == Dtype::bfloat16) {
      const __m512i first = _mm512_loadu_si512(p), second = _mm512_loadu_si512(p + 64);
      for (int r = 0; r < 2; ++r) pairs[r] = _mm512_permutex2var_epi16(first, order_[r], second);
    } else {
      __m512i low, high;
      table_.look_up(_mm512_permutexvar_epi8(order_[0], _mm512_loadu_si512(p)), low, high);
      pairs[0] = _mm512_unpacklo_epi8(low, high);
      pairs[1] = _mm512_unpackhi_epi8(low, high);
    }
  }

 private:
  CodeTable<D> table_;
  __m512i order_[2];
};

// The sums of one tile's scores for H heads.
template <int Tile, int H>
struct KeySums {
  static constexpr int dims = 64 / Tile;         // of one step
  static constexpr int chains = H <= 3 ? 4 : 2;  // a head: enough to hide six cycles of latency
  __m512 sums[H][chains];                        // the even ones of register 0, the odd ones of register 1

  OCTET_INLINE KeySums() {
    for (int h = 0; h < H; ++h)
      for (int c = 0; c < chains; ++c) sums[h][c] = _mm512_setzero_ps();
  }
  // Adds the keys times one part of every head's query, which begins at `row`.
  template <int Part>
  OCTET_INLINE void add(const __m512i (&pairs)[2], const std::uint16_t* row, int head_dim) {
    constexpr int even = 2 * Part % chains, odd = even + 1;
    for (int h = 0; h < H; ++h) {
      const std::uint16_t* query = row + h * head_dim;
      const __m512i q = four_dims(query);
      sums[h][even] = dot_pairs(sums[h][even], pairs[0], q);
      sums[h][odd] = dot_pairs(sums[h][odd], pairs[1], Tile == 16 ? q : four_dims(query + 4));
    }
  }
  OCTET_INLINE void store(float* scores) const {
    for (int h = 0; h < H; ++h) {
      __m512 a = sums[h][0], b = sums[h][1];
      if constexpr (chains == 4) {
        a = _mm512_add_ps(a, sums[h][2]);
        b = _mm512_add_ps(b, sums[h][3]);
      }
      if constexpr (Tile == 8) a = _mm512_add_ps(a, b);
      // Neighbouring lanes are added.
      const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
      const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
      const __m512 sum = _mm512_add_ps(_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b));
      if constexpr (Tile == 16)
        _mm512_storeu_ps(scores + h * kChunk, sum);
      else
        _mm256_storeu_ps(scores + h * kChunk, _mm512_castps512_ps256(sum));
    }
  }

 private:
  static OCTET_INLINE __m512i four_dims(const std::uint16_t* query) { return broadcast_pairs<8>(query); }
};

// scores[h * kChunk + p] = q[h] · k[p], for H heads and every position of the chunk's tiles.
template <Precision P, int Tile, Dtype D, int H>
void score_pairs(const Chunk& chunk, SplitRows q, int head_dim, float* scores) {
  using Sums = KeySums<Tile, H>;
  const KeyReader<Tile, D> reader;
  for (int t = 0; t < chunk.num_tiles; ++t) {
    const std::byte* k = chunk.tiles[t].k;
    const std::int64_t ahead = chunk.ahead[t].k - k;
    Sums total;
    const auto next = [&](__m512i(&pairs)[2]) {
      reader.read(k, pairs);
      prefetch<64 * dtype_bytes(D)>(k + ahead);
      k += 64 * dtype_bytes(D);
    };
    __m512i pairs[2];
    if constexpr (P == Precision::split) {
      for (int d = 0; d < head_dim; d += Sums::dims) {
        next(pairs);
        total.template add<0>(pairs, q.high + d, head_dim);
        total.template add<1>(pairs, q.low + d, head_dim);
      }
    } else {
      // Two steps at a time, a multiple of 16 dims allows it, use all of the chains.
      for (int d = 0; d < head_dim; d += 2 * Sums::dims) {
        next(pairs);
        total.template add<0>(pairs, q.high + d, head_dim);
        next(pairs);
        total.template add<1>(pairs, q.high + d + Sums::dims, head_dim);
      }
    }
    total.store(scores + t * Tile);
  }
}

// Dims that one pass over a chunk's values takes, of those that are left: 64, 32 or 16.
constexpr int pass_dims(int left) { return left >= 64 ? 64 : left >= 32 ? 32 : 16; }

// How a pass of `Dims` dims lies in registers. A register has `bytes` of each of `pairs` pairs of rows.
template <Dtype D, int Dims>
struct ValuePass {
  static constexpr int size = static_cast<int>(dtype_bytes(D));
  static constexpr int loads = Dims * size > 64 ? Dims* size / 64 : 1;
  static constexpr int bytes = Dims * size / loads;
  static constexpr int pairs = 64 / bytes;
  static constexpr int sums_a_load = size == 1 ? 4 : 2;
  static constexpr int sums = loads * sums_a_load;
  static constexpr int lanes = 4 / pairs;  // of 128 bits, that one row fills
  // The dim of element 0 of 128-bit lane `lane` of sum i; three more follow it.
  static constexpr int first_dim(int i, int lane) {
    return i / sums_a_load * 32 + lane * (16 / size) + i % sums_a_load * 4;
  }
};

// `Bytes` of the rows p, p + 2 stride, … side by side.
template <int Bytes>
OCTET_INLINE __m512i load_rows(const std::byte* p, std::int64_t stride) {
  if constexpr (Bytes == 64) {
    return _mm512_loadu_si512(p);
  } else if constexpr (Bytes == 32) {
    const auto at = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i * stride)); };
    return _mm512_inserti64x4(_mm512_castsi256_si512(at(0)), at(2), 1);
  } else {
    const auto at = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * stride)); };
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(at(0)), at(2), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(at(4)), at(6), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
}

// Two registers of rows a and b as the pairs (a[d], b[d]).
template <Dtype D>
OCTET_INLINE void pair_rows(const CodeTable<D>& table, __m512i a, __m512i b, __m512i* pairs) {
  if constexpr (D == Dtype::bfloat16) {
    pairs[0] = _mm512_unpacklo_epi16(a, b);
    pairs[1] = _mm512_unpackhi_epi16(a, b);
  } else {
    for (int half = 0; half < 2; ++half) {
      __m512i low, high;
      table.look_up(half == 0 ? _mm512_unpacklo_epi8(a, b) : _mm512_unpackhi_epi8(a, b), low, high);
      pairs[2 * half] = _mm512_unpacklo_epi8(low, high);
      pairs[2 * half + 1] = _mm512_unpackhi_epi8(low, high);
    }
  }
}

// The weights of `Pairs` pairs of positions from p on, each in the lanes that its rows fill.
template <int Pairs>
OCTET_INLINE __m512i spread_weights(const std::uint16_t* p) {
  if constexpr (Pairs == 1) {
    return broadcast_pairs<4>(p);
  } else if constexpr (Pairs == 2) {
    const __m512i order = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castps_si512(_mm512_permutevar_ps(_mm512_castsi512_ps(broadcast_pairs<8>(p)), order));
  } else {
    const __m512i order = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m512i all = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_castps_si512(_mm512_permutevar_ps(_mm512_castsi512_ps(all), order));
  }
}

// One pass's sums over a chunk's values for H heads.
template <Precision P, Dtype D, int H, int Dims>
struct ValueSums {
  using Pass = ValuePass<D, Dims>;
  __m512 sums[H][Pass::sums];

  // Each sum stands in its first `lanes` 128-bit lanes, one after the other, in out[h * head_dim …].
  OCTET_INLINE ValueSums(const float* out, int head_dim) {
    for (int h = 0; h < H; ++h)
      for (int i = 0; i < Pass::sums; ++i) {
        const float* p = out + h * head_dim + i * Pass::lanes * 4;
        sums[h][i] = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << (4 * Pass::lanes)) - 1u), p);
      }
  }
  OCTET_INLINE void add(const CodeTable<D>& table, const __m512i (&a)[Pass::loads],
                        const __m512i (&b)[Pass::loads], SplitRows weights) {
    __m512i pairs[Pass::sums];
    for (int i = 0; i < Pass::loads; ++i) pair_rows<D>(table, a[i], b[i], pairs + i * Pass::sums_a_load);
    add_part(pairs, weights.high);
    if constexpr (P == Precision::split) add_part(pairs, weights.low);
  }
  OCTET_INLINE void store(float* out, int head_dim) const {
    for (int h = 0; h < H; ++h)
      for (int i = 0; i < Pass::sums; ++i) {
        float* p = out + h * head_dim + i * Pass::lanes * 4;
        const __m512 sum = sums[h][i];
        if constexpr (Pass::pairs == 1) {
          _mm512_storeu_ps(p, sum);
        } else {
          const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
          if constexpr (Pass::pairs == 2)
            _mm256_storeu_ps(p, half);
          else
            _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
        }
      }
  }

 private:
  OCTET_INLINE void add_part(const __m512i (&pairs)[Pass::sums], const std::uint16_t* part) {
    for (int h = 0; h < H; ++h) {
      const __m512i weight = spread_weights<Pass::pairs>(part + h * kChunk);
      for (int i = 0; i < Pass::sums; ++i) sums[h][i] = dot_pairs(sums[h][i], pairs[i], weight);
    }
  }
};

// out[h][dims of the pass] += sum over the chunk's positions of weights[h][p] * v[p], for H heads.
template <Precision P, Dtype D, int H, int Dims>
OCTET_INLINE void add_value_pass(const Chunk& chunk, SplitRows weights, int head_dim, int dim, float* out) {
  using Pass = ValuePass<D, Dims>;
  constexpr int slots = 2 * Pass::pairs;
  const std::int64_t row = head_dim * static_cast<std::int64_t>(Pass::size);
  const CodeTable<D> table;
  ValueSums<P, D, H, Dims> total(out, head_dim);
  for (int t = 0; t < chunk.num_tiles; ++t) {
    const int first = t == 0 ? chunk.begin : 0;
    const int last = chunk.end - t * chunk.tile < chunk.tile ? chunk.end - t * chunk.tile : chunk.tile;
    const std::byte* v = chunk.tiles[t].v + dim * Pass::size;
    // All passes over the dims share the next tile's bytes among them.
    const std::byte* ahead = chunk.ahead[t].v + dim * Pass::size * chunk.tile;
    for (int p = 0; p < chunk.tile; p += slots, v += slots * row) {
      if (p + slots <= first || p >= last) continue;
      __m512i a[Pass::loads], b[Pass::loads];
      if (p >= first && p + slots <= last) [[likely]] {
        for (int i = 0; i < Pass::loads; ++i) {
          a[i] = load_rows<Pass::bytes>(v + i * 64, row);
          b[i] = load_rows<Pass::bytes>(v + row + i * 64, row);
        }
      } else {
        // Rows outside are zeros, not read: their weights are zero, but they may hold NaN.
        alignas(64) std::byte rows[2][Pass::loads][64] = {};
        for (int s = 0; s < slots; ++s)
          if (p + s >= first && p + s < last)
            for (int i = 0; i < Pass::loads; ++i)
              __builtin_memcpy(rows[s % 2][i] + s / 2 * Pass::bytes, v + s * row + i * 64, Pass::bytes);
        for (int i = 0; i < Pass::loads; ++i) {
          a[i] = _mm512_load_si512(rows[0][i]);
          b[i] = _mm512_load_si512(rows[1][i]);
        }
      }
      prefetch<128 * Pass::loads>(ahead);
      ahead += 128 * Pass::loads;
      const int at = t * chunk.tile + p;
      total.add(table, a, b, {weights.high + at, weights.low + at});
    }
  }
  total.store(out, head_dim);
}

template <Precision P, Dtype D, int H>
void add_values_in_pairs(const Chunk& chunk, SplitRows weights, int head_dim, float* out) {
  for (int dim = 0; dim < head_dim;) {
    const int dims = pass_dims(head_dim - dim);
    if (dims == 64)
      add_value_pass<P, D, H, 64>(chunk, weights, head_dim, dim, out + dim);
    else if (dims == 32)
      add_value_pass<P, D, H, 32>(chunk, weights, head_dim, dim, out + dim);
    else
      add_value_pass<P, D, H, 16>(chunk, weights, head_dim, dim, out + dim);
    dim += dims;
  }
}

// From the order in which ValueSums keeps a pass's sums to that of the dims.
template <Dtype D, int Dims>
void restore_pass(float* row) {
  using Pass = ValuePass<D, Dims>;
  float kept[Dims];
  __builtin_memcpy(kept, row, sizeof kept);
  for (int i = 0; i < Pass::sums; ++i)
    for (int lane = 0; lane < Pass::lanes; ++lane)
      __builtin_memcpy(row + Pass::first_dim(i, lane), kept + (i * Pass::lanes + lane) * 4, 4 * sizeof(float));
}

template <Dtype D>
void restore_order(float* row, int head_dim) {
  for (int dim = 0; dim < head_dim;) {
    const int dims = pass_dims(head_dim - dim);
    if (dims == 64)
      restore_pass<D, 64>(row + dim);
    else if (dims == 32)
      restore_pass<D, 32>(row + dim);
    else
      restore_pass<D, 16>(row + dim);
    dim += dims;
  }
}

// The functions for one stored type, of keys and of values, for 1..5 heads: as many as have all their sums in
// registers.
inline constexpr int kPairHeads = 5;

struct PairFunctions {
  void (*score[kPairHeads])(const Chunk&, SplitRows q, int head_dim, float* scores);
  void (*value[kPairHeads])(const Chunk&, SplitRows weights, int head_dim, float* out);
  void (*restore)(float* row, int head_dim);
};

template <Precision P, int Tile, Dtype D>
inline constexpr PairFunctions kPairFunctions{
    .score = {score_pairs<P, Tile, D, 1>, score_pairs<P, Tile, D, 2>, score_pairs<P, Tile, D, 3>,
              score_pairs<P, Tile, D, 4>, score_pairs<P, Tile, D, 5>},
    .value = {add_values_in_pairs<P, D, 1>, add_values_in_pairs<P, D, 2>, add_values_in_pairs<P, D, 3>,
              add_values_in_pairs<P, D, 4>, add_values_in_pairs<P, D, 5>},
    .restore = restore_order<D>,
};

template <Precision P, int Tile>
const PairFunctions& pair_functions(Dtype dtype) {
  switch (code_dtype(dtype)) {
    case Dtype::fp8_e4m3:
      return kPairFunctions<P, Tile, Dtype::fp8_e4m3>;
    case Dtype::fp8_e5m2:
      return kPairFunctions<P, Tile, Dtype::fp8_e5m2>;
    case Dtype::int8_per_token_head:
      return kPairFunctions<P, Tile, Dtype::int8_per_token_head>;
    default:  // is_bfloat16_exact leaves no other
      return kPairFunctions<P, Tile, Dtype::bfloat16>;
  }
}

// What the softmax of a chunk needs beside each head's rows.
struct ChunkSoftmax {
  __mmask16 inside[kChunk / 16];  // the positions that count
  float scale;                    // of scores, log2(e) included
  const SlotScales* scales;       // of the chunk's slots, where there are any
};

// Multiplies one head's scores of a chunk by their scales; -inf where no position counts. Returns the largest.
template <bool Scales>
OCTET_INLINE float scale_scores(const ChunkSoftmax& chunk, float* scores) {
  const VecF16 minus_infinity = VecF16::broadcast(-__builtin_inff());
  VecF16 largest = minus_infinity;
  for (int i = 0; i < kChunk / 16; ++i) {
    VecF16 score = VecF16::load(scores + 16 * i) * VecF16::broadcast(chunk.scale);
    if constexpr (Scales) score = score * VecF16::load(chunk.scales->k + 16 * i);
    score.v = _mm512_mask_blend_ps(chunk.inside[i], minus_infinity.v, score.v);
    score.store(scores + 16 * i);
    largest = max(score, largest);
  }
  return largest.reduce_max();
}

// Brings one head's running sums to a new peak.
OCTET_INLINE void raise_peak(float chunk_peak, float* out, int head_dim, float& peak, float& sum) {
  // Of the least peak, -inf, 0.
  const float factor = exp2_of_negative(VecF16::broadcast(peak - chunk_peak)).first_lane();
  scale_row<VecF16>(out, factor, head_dim);
  sum *= factor;
  peak = chunk_peak;
}

// Sixteen floats as what Precision says.
template <Precision P>
OCTET_INLINE void to_pairs(__m512 x, std::uint16_t* high, std::uint16_t* low) {
  if constexpr (P == Precision::split)
    split16(x, high, low);
  else
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(high), (__m256i)_mm512_cvtneps_pbh(x));
}

// Turns scaled scores into weights 2^(score - peak), multiplied by the slots' value scales once they are
// summed. Returns the sum.
template <Precision P, bool Scales>
OCTET_INLINE float weigh(const ChunkSoftmax& chunk, const float* scores, float peak, std::uint16_t* high,
                         std::uint16_t* low) {
  // Where every score is -inf or NaN so far, subtracting it would turn the former into the latter.
  const VecF16 subtrahend = VecF16::broadcast(peak == -__builtin_inff() ? 0.0f : peak);
  VecF16 total = VecF16::zero();
  for (int i = 0; i < kChunk / 16; ++i) {
    VecF16 weight = exp2_of_negative(VecF16::load(scores + 16 * i) - subtrahend);
    total = total + weight;
    // Outside, the scale may be anything.
    if constexpr (Scales)
      weight.v = _mm512_maskz_mul_ps(chunk.inside[i], weight.v, VecF16::load(chunk.scales->v + 16 * i).v);
    to_pairs<P>(weight.v, high + 16 * i, low + 16 * i);
  }
  return total.reduce_add();
}

// Everything that one call keeps on the stack.
struct PairScratch {
  alignas(64) std::uint16_t q_high[kMaxGroup * kMaxSplitDim];
  alignas(64) std::uint16_t q_low[kMaxGroup * kMaxSplitDim];
  alignas(64) float scores[kMaxGroup * kChunk];
  alignas(64) std::uint16_t weight_high[kMaxGroup * kChunk];
  alignas(64) std::uint16_t weight_low[kMaxGroup * kChunk];
  SlotScales scales;
};

template <Precision P, bool Scales>
void soften_heads(const DecodeAttentionArgs& args, const ChunkSoftmax& chunk, PairScratch& scratch) {
  const int head_dim = args.kv->head_dim;
  float peaks[kMaxGroup];
  for (int g = 0; g < args.group; ++g) peaks[g] = scale_scores<Scales>(chunk, scratch.scores + g * kChunk);
  for (int g = 0; g < args.group; ++g)
    if (peaks[g] > args.max[g])
      raise_peak(peaks[g], args.out + g * head_dim, head_dim, args.max[g], args.sum[g]);
  for (int g = 0; g < args.group; ++g)
    args.sum[g] += weigh<P, Scales>(chunk, scratch.scores + g * kChunk, args.max[g],
                                    scratch.weight_high + g * kChunk, scratch.weight_low + g * kChunk);
}

// Scales and caps all scores of a chunk, so that nothing is left to scale.
inline void cap_group(const DecodeAttentionArgs& args, bool scales_of_keys, ChunkSoftmax& softmax,
                      PairScratch& scratch) {
  for (int g = 0; g < args.group; ++g)
    cap_scores<VecF16>(scratch.scores + g * kChunk, kChunk, softmax.scale,
                       scales_of_keys ? scratch.scales.k : nullptr, args.softcap * kLog2E);
  softmax.scale = 1.0f;
  for (int i = 0; i < kChunk; i += 16) VecF16::broadcast(1.0f).store(scratch.scales.k + i);
}

template <Precision P, int Tile>
void soften_group(const DecodeAttentionArgs& args, const Chunk& chunk, float scale, PairScratch& scratch) {
  using V = std::conditional_t<Tile == 16, VecF16, VecF8>;
  ChunkSoftmax softmax{.inside = {}, .scale = scale, .scales = &scratch.scales};
  for (int i = 0; i < kChunk / 16; ++i)
    softmax.inside[i] =
        static_cast<__mmask16>(VecF16::first(chunk.end - 16 * i) & ~VecF16::first(chunk.begin - 16 * i));
  const bool of_keys = is_per_token_head(args.kv->k_dtype), of_values = is_per_token_head(args.kv->v_dtype);
  if (of_keys) load_scales<V>(chunk, &CacheTile::k_scale, scratch.scales.k);
  if (args.softcap > 0.0f) cap_group(args, of_keys, softmax, scratch);
  if (!of_keys && !of_values) return soften_heads<P, false>(args, softmax, scratch);
  // Of the one that has none, the scales are ones (decode_tiles_in_pairs).
  if (of_values) load_scales<V>(chunk, &CacheTile::v_scale, scratch.scales.v);
  soften_heads<P, true>(args, softmax, scratch);
}

// Query heads that one pass over a chunk takes.
struct HeadTile {
  int first;
  int count;
};

template <Precision P, int Tile>
void decode_tiles_in_pairs(const DecodeAttentionArgs& args) {
  constexpr float ln_2 = 0x1.62e430p-1f;
  const KvView& kv = *args.kv;
  const PairFunctions& keys = pair_functions<P, Tile>(kv.k_dtype);
  const PairFunctions& values = pair_functions<P, Tile>(kv.v_dtype);
  HeadTile tiles[kMaxGroup / kPairHeads + 1];
  const int num_tiles = (args.group + kPairHeads - 1) / kPairHeads;
  for (int i = 0; i < num_tiles; ++i) {
    const int first = args.group * i / num_tiles;
    tiles[i] = {first, args.group * (i + 1) / num_tiles - first};
  }
  PairScratch scratch;
  ChunkStream stream(args);  // asks for the first chunk, which is on its way meanwhile
  const int rows = args.num_kv_heads * args.group;
  for (int i = 0; i < rows * kv.head_dim; i += 16) {
    to_pairs<P>(_mm512_loadu_ps(args.q + i), scratch.q_high + i, scratch.q_low + i);
    VecF16::zero().store(args.out + i);
  }
  for (int i = 0; i < args.group * kChunk; i += 16) VecF16::zero().store(scratch.scores + i);
  for (int i = 0; i < kChunk; i += 16) {
    VecF16::broadcast(1.0f).store(scratch.scales.k + i);
    VecF16::broadcast(1.0f).store(scratch.scales.v + i);
  }
  for (int g = 0; g < rows; ++g) {
    args.max[g] = -__builtin_inff();
    args.sum[g] = 0.0f;
  }
  while (stream.advance()) {
    const Chunk& chunk = stream.chunk();
    const DecodeAttentionArgs of_head = of_kv_head(args, stream.head());
    const float scale = args.softmax_scale * kv.k_scale[of_head.kv_head] * kLog2E;
    for (int i = 0; i < num_tiles; ++i) {
      const int at = (stream.head() * args.group + tiles[i].first) * kv.head_dim;
      keys.score[tiles[i].count - 1](chunk, {scratch.q_high + at, scratch.q_low + at}, kv.head_dim,
                                     scratch.scores + tiles[i].first * kChunk);
    }
    soften_group<P, Tile>(of_head, chunk, scale, scratch);
    for (int i = 0; i < num_tiles; ++i) {
      const int at = tiles[i].first * kChunk;
      values.value[tiles[i].count - 1](chunk, {scratch.weight_high + at, scratch.weight_low + at}, kv.head_dim,
                                       of_head.out + tiles[i].first * kv.head_dim);
    }
  }
  for (int g = 0; g < rows; ++g) {
    values.restore(args.out + g * kv.head_dim, kv.head_dim);
    args.max[g] *= ln_2;
  }
}

// Whether decode_attention_in_pairs takes a call.
inline bool fits_pairs(const KvView& kv) {
  return is_bfloat16_exact(kv.k_dtype) && is_bfloat16_exact(kv.v_dtype) && kv.head_dim % 16 == 0 &&
         kv.head_dim <= kMaxSplitDim && (kv.k_tile == 16 || kv.k_tile == 8);
}

template <Precision P>
void decode_attention_in_pairs(const DecodeAttentionArgs& args) {
  args.kv->k_tile == 16 ? decode_tiles_in_pairs<P, 16>(args) : decode_tiles_in_pairs<P, 8>(args);
}

}  // namespace
}  // namespace octet::kernels
