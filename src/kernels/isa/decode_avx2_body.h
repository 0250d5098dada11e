// The two products of decode attention, q · k and weights · v, in registers of eight floats.
//
// Both are one loop: rows of 16 or 32 numbers, each row multiplied by one factor a head and added to the heads'
// sums, which stay in registers. A row of keys is one dim of so many slots and its factors are of the queries;
// a row of values is so many dims of a slot and its factors are the slot's weights. Two multiply-adds a cycle
// are the limit, and the rest is to stay out of their way (figures: Zen 3, 32 codes of fp8_e4m3 and the 12
// multiply-adds of three heads, which take 6 cycles alone):
//
//   - 8 to 12 sums hide the latency of a multiply-add, and one conversion and one broadcast serve several.
//   - Eight-bit codes become float16 in a buffer of the first-level cache. vcvtph2ps from memory is done by
//     other units; from a register it needs a shuffle in one of theirs (4 of them: 6.0 cycles or 7.9).
//   - Of 32 codes, those at even places become one register of float16 and those at odd places another: 7.0
//     cycles; widened in order, 8.4.
//   - Rows are converted while those before them are added, since what has just been stored takes long to come
//     back: 6.8 cycles; one after the other, 8.5.
//
// So sums stand split, of each 16 those at even places first: scores are put in order when they are stored,
// `out` at the end of a call.
//
// The next chunk is asked for in the order of its addresses, whatever the order in which this one's are read: a
// stream, which hardware runs ahead of (docs/benchmarks.md).
#pragma once

#include "kernels/isa/decode_chunk.h"

namespace octet::kernels {
namespace {

template <Dtype D>
inline constexpr bool kStaged = is_fp8(D) || D == Dtype::int8_per_token_head;

// Whether the sums of 16 slots or dims stand split in even and odd ones. In tiles of 8 slots a register of 32
// codes holds two dims side by side, which must not mix.
template <Dtype D, int Tile>
inline constexpr bool kSplit = Tile == 16 && (kStaged<D> || D == Dtype::bfloat16);

// What products of these loops must be multiplied by. int8_per_token_head is taken as subnormal float16: the
// magnitude's last bit is 2^-21.
constexpr float product_factor(Dtype dtype) {
  return code_dtype(dtype) == Dtype::int8_per_token_head ? 0x1p+21f : raw_factor(dtype);
}

// Codes that stand in the high bytes, the low ones being anything, as float16 divided by product_factor.
template <Dtype D>
OCTET_INLINE __m256i halves_of_high(__m256i codes) {
  if constexpr (D == Dtype::fp8_e5m2)
    return _mm256_and_si256(codes, _mm256_set1_epi16(static_cast<short>(0xff00)));
  else if constexpr (D == Dtype::fp8_e4m3)  // s eeeemmm to s 0eeeemmm 0000000
    return _mm256_and_si256(_mm256_srai_epi16(codes, 1), _mm256_set1_epi16(static_cast<short>(0xbf80)));
  else  // s mmmmmmm to s 00000mmm mmmm000
    return _mm256_and_si256(_mm256_srai_epi16(codes, 5), _mm256_set1_epi16(static_cast<short>(0x83f8)));
}

// The same of codes in the low bytes. To multiply by bytes (128, 0) or (8, 0) widens and shifts at once.
template <Dtype D>
OCTET_INLINE __m256i halves_of_low(__m256i codes) {
  if constexpr (D == Dtype::fp8_e5m2)
    return _mm256_slli_epi16(codes, 8);
  else if constexpr (D == Dtype::fp8_e4m3)
    return _mm256_and_si256(_mm256_maddubs_epi16(_mm256_set1_epi16(128), codes),
                            _mm256_set1_epi16(static_cast<short>(0xbf80)));
  else
    return _mm256_and_si256(_mm256_maddubs_epi16(_mm256_set1_epi16(8), codes),
                            _mm256_set1_epi16(static_cast<short>(0x83f8)));
}

OCTET_INLINE __m256i load_lanes(const std::byte* low, const std::byte* high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low))),
                                 _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)), 1);
}
OCTET_INLINE __m256i load_wide(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
OCTET_INLINE void store_wide(std::uint16_t* p, __m256i x) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(p), x);
}

// Eight of the sixteen numbers at p, in the order that kSplit says.
template <Dtype D>
OCTET_INLINE VecF8 load_eight(const std::byte* p, int eight) {
  if constexpr (D == Dtype::bfloat16) {
    const __m256i all = load_wide(p);
    return {_mm256_castsi256_ps(eight == 0
                                    ? _mm256_slli_epi32(all, 16)
                                    : _mm256_and_si256(all, _mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
  } else {
    return VecF8::load_raw<D>(p + eight * 8 * static_cast<int>(dtype_bytes(D)));
  }
}

// Two rows of T times 16 numbers.
template <Dtype D, int Tile, int T>
class KeyRows {
 public:
  static constexpr std::int64_t size = dtype_bytes(D);
  // Two dims from `dim` on of the slots of T tiles of 16, or of 2 T tiles of 8.
  OCTET_INLINE KeyRows(const CacheTile* tiles, int dim) : tiles_(tiles), offset_(dim * Tile * size) {}
  OCTET_INLINE void stage(std::uint16_t* halves) const {
    for (int t = 0; t < T; ++t)
      if constexpr (Tile == 16) {
        const __m256i codes = load_wide(tiles_[t].k + offset_);
        store_wide(halves + 32 * t, halves_of_low<D>(codes));
        store_wide(halves + 32 * t + 16, halves_of_high<D>(codes));
      } else {
        const __m256i codes = load_lanes(tiles_[2 * t].k + offset_, tiles_[2 * t + 1].k + offset_);
        store_wide(halves + 32 * t, halves_of_high<D>(_mm256_unpacklo_epi8(_mm256_setzero_si256(), codes)));
        store_wide(halves + 32 * t + 16,
                   halves_of_high<D>(_mm256_unpackhi_epi8(_mm256_setzero_si256(), codes)));
      }
  }
  OCTET_INLINE VecF8 load(const std::uint16_t* halves, int row, int t, int eight) const {
    if constexpr (kStaged<D>)
      return VecF8::load_raw<Dtype::float16>(halves + 32 * t +
                                             (Tile == 16 ? 16 * eight + 8 * row : 16 * row + 8 * eight));
    else if constexpr (Tile == 16)
      return load_eight<D>(tiles_[t].k + offset_ + row * 16 * size, eight);
    else
      return VecF8::load_raw<D>(tiles_[2 * t + eight].k + offset_ + row * 8 * size);
  }

 private:
  const CacheTile* tiles_;
  std::int64_t offset_;
};

template <Dtype D, int T>
class ValueRows {
 public:
  // Two slots, of which the first's numbers stand at p.
  OCTET_INLINE ValueRows(const std::byte* p, std::int64_t stride) : p_(p), stride_(stride) {}
  OCTET_INLINE void stage(std::uint16_t* halves) const {
    if constexpr (T == 1) {
      const __m256i codes = load_lanes(p_, p_ + stride_);
      store_wide(halves, halves_of_low<D>(codes));
      store_wide(halves + 16, halves_of_high<D>(codes));
    } else {
      for (int row = 0; row < 2; ++row) {
        const __m256i codes = load_wide(p_ + row * stride_);
        store_wide(halves + 32 * row, halves_of_low<D>(codes));
        store_wide(halves + 32 * row + 16, halves_of_high<D>(codes));
      }
    }
  }
  OCTET_INLINE VecF8 load(const std::uint16_t* halves, int row, int t, int eight) const {
    if constexpr (kStaged<D>)
      return VecF8::load_raw<Dtype::float16>(halves + 16 * eight + (T == 1 ? 8 * row : 32 * row + 8 * t));
    else
      return load_eight<D>(p_ + row * stride_ + t * 16 * static_cast<int>(dtype_bytes(D)), eight);
  }

 private:
  const std::byte* p_;
  std::int64_t stride_;
};

// sum += a * b. GCC 12 else lets the sum change registers, and then has not enough of them.
OCTET_INLINE void accumulate(VecF8& sum, VecF8 a, VecF8 b) {
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
}

// Adds one of the two rows to the sums, times factors[h * stride].
template <int H, int T, class Rows>
OCTET_INLINE void add_row(const Rows& rows, const std::uint16_t* halves, int row, const float* factors,
                          std::int64_t stride, VecF8 (&sums)[H][T][2]) {
  // The fewer of the two stay in registers while the others pass.
  if constexpr (H < 2 * T) {
    VecF8 factor[H];
#pragma GCC unroll 6
    for (int h = 0; h < H; ++h) factor[h] = VecF8::broadcast(factors[h * stride]).in_register();
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
      for (int eight = 0; eight < 2; ++eight) {
        const VecF8 x = rows.load(halves, row, t, eight).in_register();
#pragma GCC unroll 6
        for (int h = 0; h < H; ++h) accumulate(sums[h][t][eight], factor[h], x);
      }
  } else {
    VecF8 x[T][2];
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
      for (int eight = 0; eight < 2; ++eight) x[t][eight] = rows.load(halves, row, t, eight).in_register();
#pragma GCC unroll 6
    for (int h = 0; h < H; ++h) {
      const VecF8 factor = VecF8::broadcast(factors[h * stride]).in_register();
#pragma GCC unroll 2
      for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
        for (int eight = 0; eight < 2; ++eight) accumulate(sums[h][t][eight], factor, x[t][eight]);
    }
  }
}

// Rows that are converted at once.
inline constexpr int kUnitRows = 4;

// Two units of rows as float16: one is added while the other is filled. Types that need no buffer are loaded
// from where they stand. The compiler must keep to the order of calls, or it would keep the halves in
// registers.
template <Dtype D, int T>
class Halves {
 public:
  // rows(i) are two rows, of which the first is row i of the unit.
  template <class GetRows>
  OCTET_INLINE void stage(int unit, const GetRows& rows) {
    if constexpr (kStaged<D>) {
#pragma GCC unroll 4
      for (int i = 0; i < kUnitRows / 2; ++i) rows(2 * i).stage(units_[unit][i]);
      __asm__ volatile("" ::: "memory");
    }
  }
  template <int H, class GetRows>
  OCTET_INLINE void add(int unit, const GetRows& rows, const float* factors, std::int64_t stride,
                        VecF8 (&sums)[H][T][2]) const {
#pragma GCC unroll 4
    for (int i = 0; i < kUnitRows; ++i)
      add_row(rows(i & ~1), units_[unit][i / 2], i % 2, factors + i, stride, sums);
    if constexpr (kStaged<D>) __asm__ volatile("" ::: "memory");
  }
  // One row that is not on its way. Unit 1 must be free.
  template <int H, class Rows>
  OCTET_INLINE void add_one(const Rows& rows, int row, const float* factors, std::int64_t stride,
                            VecF8 (&sums)[H][T][2]) {
    if constexpr (kStaged<D>) {
      rows.stage(units_[1][0]);
      __asm__ volatile("" ::: "memory");
    }
    add_row(rows, units_[1][0], row, factors, stride, sums);
  }

 private:
  alignas(64) std::uint16_t units_[2][kUnitRows / 2][kStaged<D> ? 32 * T : 1];
};

// Sums of even and of odd numbers as numbers in order.
OCTET_INLINE void put_in_order(VecF8& even, VecF8& odd) {
  const __m256 low = _mm256_unpacklo_ps(even.v, odd.v), high = _mm256_unpackhi_ps(even.v, odd.v);
  even.v = _mm256_permute2f128_ps(low, high, 0x20);
  odd.v = _mm256_permute2f128_ps(low, high, 0x31);
}

// Groups of 16 numbers beside each other, so that H heads have 8 to 12 sums where they can.
template <int H>
inline constexpr int kGroups = H <= 3 ? 2 : 1;

// scores[h * kChunk + p] = q[h] · k[p] / product_factor, for H heads and every position of the chunk's tiles.
template <int Tile, Dtype D, int H>
void score_rows(const Chunk& chunk, const float* q, int head_dim, float* scores) {
  constexpr int T = kGroups<H>, tiles = T * 16 / Tile;
  using Rows = KeyRows<D, Tile, T>;
  constexpr int unit = kUnitRows, size = static_cast<int>(dtype_bytes(D));
  const auto rows = [](const CacheTile* at, int dim) __attribute__((always_inline)) {
    return [ at, dim ](int i) __attribute__((always_inline)) { return Rows(at, dim + i); };
  };
  Halves<D, T> halves;
  halves.stage(0, rows(chunk.tiles, 0));
  for (int t = 0; t < chunk.num_tiles; t += tiles) {
    VecF8 sums[H][T][2];
#pragma GCC unroll 6
    for (int h = 0; h < H; ++h)
#pragma GCC unroll 2
      for (int i = 0; i < T; ++i) sums[h][i][0] = sums[h][i][1] = VecF8::zero();
    const CacheTile* here = chunk.tiles + t;
    const CacheTile* next = t + tiles < chunk.num_tiles ? here + tiles : here;
    for (int d = 0; d < head_dim; d += 2 * unit) {
      const int at = d * tiles;
      prefetch<2 * unit * Tile * tiles * size>(chunk.ahead[t + at / head_dim].k + at % head_dim * Tile * size);
      halves.stage(1, rows(here, d + unit));
      halves.add(0, rows(here, d), q + d, head_dim, sums);
      const bool more = d + 2 * unit < head_dim;
      halves.stage(0, rows(more ? here : next, more ? d + 2 * unit : 0));
      halves.add(1, rows(here, d + unit), q + d + unit, head_dim, sums);
    }
#pragma GCC unroll 6
    for (int h = 0; h < H; ++h)
#pragma GCC unroll 2
      for (int group = 0; group < T; ++group) {
        auto& [low, high] = sums[h][group];
        if constexpr (kSplit<D, Tile>) put_in_order(low, high);
        float* row = scores + h * kChunk + t * Tile + group * 16;
        low.store(row);
        high.store(row + 8);
      }
  }
}

// out[h][dims] += sum over the chunk's positions of weights[h][p] * v[p] / product_factor, for H heads and the
// dims from `dim` on, T * 16 at a time as long as there are so many. Returns the first dim that is left.
template <Dtype D, int H, int T>
OCTET_INLINE int add_values(const Chunk& chunk, const float* weights, int head_dim, int dim, float* out) {
  using Rows = ValueRows<D, T>;
  constexpr int unit = kUnitRows, dims = T * 16;
  constexpr std::int64_t size = dtype_bytes(D);
  const std::int64_t stride = head_dim * size;
  const int first = chunk.begin > 0 ? 1 : 0, whole = chunk.end / chunk.tile;  // tiles that count wholly
  const auto rows = [stride](const std::byte* p) __attribute__((always_inline)) {
    return [ p, stride ](int i) __attribute__((always_inline)) { return Rows(p + i * stride, stride); };
  };
  Halves<D, T> halves;
  if (first < whole) halves.stage(0, rows(chunk.tiles[first].v + dim * size));
  for (; dim + dims <= head_dim; dim += dims) {
    VecF8 sums[H][T][2];
#pragma GCC unroll 6
    for (int h = 0; h < H; ++h)
#pragma GCC unroll 2
      for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) sums[h][t][i] = VecF8::load(out + h * head_dim + dim + t * 16 + i * 8);
    // Slots [p, last) of a tile, one by one.
    const auto add_some = [&](int t, int p, int last) __attribute__((always_inline)) {
      const std::byte* v = chunk.tiles[t].v + dim * size;
      for (; p < last; ++p)
        halves.add_one(Rows(v + (p & ~1) * stride, stride), p % 2, weights + t * chunk.tile + p, kChunk, sums);
    };
    if (first > 0) add_some(0, chunk.begin, chunk.end < chunk.tile ? chunk.end : chunk.tile);
    for (int t = first; t < whole; ++t) {
      const std::byte* v = chunk.tiles[t].v + dim * size;
      const std::byte* next =
          t + 1 < whole ? chunk.tiles[t + 1].v + dim * size
                        : chunk.tiles[first].v + (dim + 2 * dims <= head_dim ? dim + dims : dim) * size;
      // All passes over the dims share the next chunk's bytes among them.
      const int at = dim * chunk.num_tiles + t * dims;
      const std::byte* ahead = chunk.ahead[at / head_dim].v + at % head_dim * chunk.tile * size;
      const float* weight = weights + t * chunk.tile;
      for (int left = chunk.tile; left > 0; left -= 2 * unit) {
        prefetch<2 * unit * dims* static_cast<int>(size)>(ahead);
        ahead += 2 * unit * dims * size;
        halves.stage(1, rows(v + unit * stride));
        halves.add(0, rows(v), weight, kChunk, sums);
        halves.stage(0, rows(left > 2 * unit ? v + 2 * unit * stride : next));
        halves.add(1, rows(v + unit * stride), weight + unit, kChunk, sums);
        v += 2 * unit * stride;
        weight += 2 * unit;
      }
    }
    if (first <= whole && whole < chunk.num_tiles) add_some(whole, 0, chunk.end - whole * chunk.tile);
#pragma GCC unroll 6
    for (int h = 0; h < H; ++h)
#pragma GCC unroll 2
      for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) sums[h][t][i].store(out + h * head_dim + dim + t * 16 + i * 8);
  }
  return dim;
}

template <Dtype D, int H>
void value_rows(const Chunk& chunk, const float* weights, int head_dim, float* out) {
  constexpr int T = kGroups<H>;
  const int dim = add_values<D, H, T>(chunk, weights, head_dim, 0, out);
  if constexpr (T > 1)
    if (dim < head_dim) add_values<D, H, 1>(chunk, weights, head_dim, dim, out);
}

template <int Tile, Dtype D>
inline constexpr KeyProduct kKeyProduct<VecF8, Tile, D>{
    .of_heads = {score_rows<Tile, D, 1>, score_rows<Tile, D, 2>, score_rows<Tile, D, 3>, score_rows<Tile, D, 4>,
                 score_rows<Tile, D, 5>, score_rows<Tile, D, 6>},
    .factor = product_factor(D)};

template <Dtype D>
inline constexpr ValueProduct kValueProduct<VecF8, D>{
    .of_heads = {value_rows<D, 1>, value_rows<D, 2>, value_rows<D, 3>, value_rows<D, 4>, value_rows<D, 5>,
                 value_rows<D, 6>},
    .factor = product_factor(D),
    .split = kSplit<D, 16>};

}  // namespace
}  // namespace octet::kernels
