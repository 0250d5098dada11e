// Linear layers over quantised weights, over any vector struct V. See quantized_weights.h.
//
// A few tokens: four rows at a time, 32 columns of each turned into floats in registers, then multiplied and
// added in gemv's order. Weights are read once, and memory is the limit only as long as a vector of numbers
// costs a few instructions: that is why codes become floats lane by lane, scales come from memory as the
// multiply-add's operand, and nothing but the sums has to stay in registers.
//
// More tokens: four rows go into the scratch as floats, and gemv takes them from there; that costs as much as
// two or three tokens.
#pragma once

#include "kernels/isa/gemv_body.h"
#include "kernels/quantized_weights.h"

namespace octet::kernels {
namespace {

OCTET_INLINE __m256i load_bytes32(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
OCTET_INLINE __m128i load_bytes16(const std::byte* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
OCTET_INLINE std::uint32_t load_word(const std::byte* p) {
  std::uint32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return word;
}
template <class V>
OCTET_INLINE V load_half(const std::byte* p) {
  std::uint16_t half;
  __builtin_memcpy(&half, p, sizeof(half));
  return V::broadcast_half(half);
}

// Nibbles of 16 bytes as the bytes of 32, low ones first.
OCTET_INLINE __m256i nibbles_in_halves(__m128i packed) {
  const __m256i twice = _mm256_broadcastsi128_si256(packed);
  const __m256i both = _mm256_srlv_epi32(twice, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4));
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
// Bit i of `bits` as 16 in byte i.
OCTET_INLINE __m256i fifth_bits(std::uint32_t bits) {
  const __m256i spread =
      _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)),
                          _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i select = _mm256_set1_epi64x(static_cast<std::int64_t>(0x8040201008040201ull));
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, select), select);
  return _mm256_and_si256(set, _mm256_set1_epi8(16));
}
// Bytes shifted down by `count`, a constant once unrolled, what comes from the neighbour masked away.
OCTET_INLINE __m256i shift_bytes(__m256i bytes, int count, char mask) {
  return _mm256_and_si256(_mm256_srli_epi16(bytes, count), _mm256_set1_epi8(mask));
}

// The 32 codes of columns [32 part, 32 part + 32) of the block at `p`, one a byte; not of four bits each alone.
template <WeightFormat F>
OCTET_INLINE __m256i codes32(const std::byte* p, int part) {
  if constexpr (F == WeightFormat::q5_0) {
    return _mm256_or_si256(nibbles_in_halves(load_bytes16(p + 6)), fifth_bits(load_word(p + 2)));
  } else if constexpr (F == WeightFormat::q5_1) {
    return _mm256_or_si256(nibbles_in_halves(load_bytes16(p + 8)), fifth_bits(load_word(p + 4)));
  } else if constexpr (F == WeightFormat::q8_0) {
    return load_bytes32(p + 2);
  } else if constexpr (F == WeightFormat::q4_k) {
    return shift_bytes(load_bytes32(p + 16 + 32 * (part / 2)), 4 * (part % 2), 15);
  } else if constexpr (F == WeightFormat::q5_k) {
    const __m256i low = shift_bytes(load_bytes32(p + 48 + 32 * (part / 2)), 4 * (part % 2), 15);
    return _mm256_or_si256(low, _mm256_slli_epi16(shift_bytes(load_bytes32(p + 16), part, 1), 4));
  } else if constexpr (F == WeightFormat::q6_k) {
    const int half = part / 4, quarter = part % 4;
    const __m256i low = shift_bytes(load_bytes32(p + 64 * half + 32 * (quarter % 2)), 4 * (quarter / 2), 15);
    const __m256i high = shift_bytes(load_bytes32(p + 128 + 32 * half), 2 * quarter, 3);
    return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
  } else {
    return load_bytes32(p + 32 * part);
  }
}

constexpr bool has_signed_codes(WeightFormat format) {
  return format == WeightFormat::q8_0 || format == WeightFormat::int8_groups;
}

// The scales and offsets of a span of columns: a block of 32, a group, or a block of 256.
template <class V, WeightFormat F>
struct SpanScales {
  V scale, offset;

  OCTET_INLINE V scale_at(int) const { return scale; }
  OCTET_INLINE V offset_at(int) const { return offset; }
};
template <class V, WeightFormat F>
requires(!is_block_format(F)) struct SpanScales<V, F> {
  float scale, offset;

  OCTET_INLINE V scale_at(int) const { return V::broadcast(scale); }
  OCTET_INLINE V offset_at(int) const { return V::broadcast(offset); }
};
// Of a block of 256 columns, `each` columns share one; at(i) is that of columns from V::width i on.
template <class V, int each>
struct SharedScales {
  float scale[256 / each], offset[256 / each];

  OCTET_INLINE V scale_at(int i) const { return V::broadcast(scale[i * V::width / each]); }
  OCTET_INLINE V offset_at(int i) const { return V::broadcast(offset[i * V::width / each]); }
};
template <class V>
struct SpanScales<V, WeightFormat::q4_k> : SharedScales<V, 32> {};
template <class V>
struct SpanScales<V, WeightFormat::q5_k> : SharedScales<V, 32> {};
template <class V>
struct SpanScales<V, WeightFormat::q6_k> : SharedScales<V, 16> {};

// q4_k and q5_k: 8 scales and 8 offsets of six bits in 12 bytes, by words of four.
OCTET_INLINE void load_six_bit_scales(const std::byte* p, float* scale, float* offset) {
  const std::uint32_t a = load_word(p + 4), b = load_word(p + 8), c = load_word(p + 12);
  const auto join = [](std::uint32_t low, std::uint32_t high) __attribute__((always_inline)) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
        _mm_cvtsi64_si128(static_cast<std::int64_t>(low | static_cast<std::uint64_t>(high) << 32))));
  };
  const __m256 scales = join(a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | ((a >> 6) & 0x03030303u) << 4);
  const __m256 offsets = join(b & 0x3f3f3f3fu, ((c >> 4) & 0x0f0f0f0fu) | ((b >> 6) & 0x03030303u) << 4);
  const VecF8 minus = VecF8::broadcast(-1.0f) * load_half<VecF8>(p + 2);
  _mm256_storeu_ps(scale, _mm256_mul_ps(scales, load_half<VecF8>(p).v));
  _mm256_storeu_ps(offset, _mm256_mul_ps(offsets, minus.v));
}

OCTET_INLINE void load_q6_k_scales(const std::byte* p, float* scale, float* offset) {
  const __m256 d = load_half<VecF8>(p + 208).v, middle = _mm256_set1_ps(-32.0f);
  const __m128i bytes = load_bytes16(p + 192);
  const auto store = [&](__m128i eight, int at) __attribute__((always_inline)) {
    const __m256 scales = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), d);
    _mm256_storeu_ps(scale + at, scales);
    _mm256_storeu_ps(offset + at, _mm256_mul_ps(scales, middle));
  };
  store(bytes, 0);
  store(_mm_srli_si128(bytes, 8), 8);
}

// Of the block at `p`, or of a format with groups, of the group whose scale is number `group`.
template <class V, WeightFormat F>
OCTET_INLINE SpanScales<V, F> load_scales(const std::byte* p, const QuantizedMatrix& matrix,
                                          std::int64_t group) {
  SpanScales<V, F> scales;
  if constexpr (F == WeightFormat::q4_k || F == WeightFormat::q5_k) {
    load_six_bit_scales(p, scales.scale, scales.offset);
  } else if constexpr (F == WeightFormat::q6_k) {
    load_q6_k_scales(p, scales.scale, scales.offset);
  } else if constexpr (is_block_format(F)) {
    scales.scale = load_half<V>(p);
    if constexpr (F == WeightFormat::q8_0)
      scales.scale = scales.scale * V::broadcast(1.0f / V::signed_unit);
    else if constexpr (F == WeightFormat::q4_1 || F == WeightFormat::q5_1)
      scales.offset = load_half<V>(p + 2);
    else
      scales.offset = scales.scale * V::broadcast(F == WeightFormat::q4_0 ? -8.0f : -16.0f);
  } else {
    scales.scale = matrix.scales[group];
    scales.offset = matrix.offsets == nullptr ? 0.0f : matrix.offsets[group];
  }
  return scales;
}

// Formats whose tiles take codes for what they are times a unit.
template <WeightFormat F>
inline constexpr bool is_in_units = F == WeightFormat::int8_groups || F == WeightFormat::fp8_groups;
// What a tile multiplies a scale by.
template <class V, WeightFormat F>
inline constexpr float kScaleFactor = F == WeightFormat::fp8_groups ? 0x1p120f : 1.0f / V::signed_unit;
// Whether that is exact.
OCTET_INLINE bool takes_factor(float scale) {
  const float size = __builtin_fabsf(scale);
  return size == 0.0f || (size >= 0x1p-100f && size < 0x1p7f);
}

template <class V, WeightFormat F>
OCTET_INLINE __m256i spread_codes(const std::byte* p, int part) {
  if constexpr (F == WeightFormat::q4_0 || F == WeightFormat::q4_1)
    return V::spread_nibbles(load_bytes16(p + block_bytes(F) - 16));
  else if constexpr (F == WeightFormat::uint4_groups)
    return _mm256_setzero_si256();  // each vector reads its own
  else
    return V::spread(codes32<F>(p, part));
}

// use(i, w) for each vector w of the numbers of columns 32 part + [V::width i, V::width (i + 1)) of the span.
// In a tile the codes of is_in_units<F> stand for less or more than themselves, and the scale makes up for it.
template <class V, WeightFormat F, bool kTile, class Use>
OCTET_INLINE void for_numbers32(const std::byte* p, int part, const SpanScales<V, F>& scales, const Use& use) {
  constexpr int vectors = 32 / V::width;
  const __m256i codes = spread_codes<V, F>(p, part);
#pragma GCC unroll 4
  for (int i = 0; i < vectors; ++i) {
    const int at = part * vectors + i;
    V code;
    if constexpr (F == WeightFormat::q4_0 || F == WeightFormat::q4_1)
      code = V::widen_nibbles(codes, i);
    else if constexpr (F == WeightFormat::uint4_groups)
      code = V::widen_nibble_pairs(p + 16 * part, i);
    else if constexpr (F != WeightFormat::fp8_groups)
      code = V::template widen<has_signed_codes(F)>(codes, i);
    else if constexpr (kTile)
      code = V::widen_fp8(codes, i);
    else
      code = V::template load_exact<Dtype::fp8_e4m3>(p + 32 * part + i * V::width);
    if constexpr (F == WeightFormat::int8_groups && !kTile) code = code * V::broadcast(1.0f / V::signed_unit);
    if constexpr (F == WeightFormat::q8_0)
      use(i, code * scales.scale);
    else
      use(i, fma(code, scales.scale_at(at), scales.offset_at(at)));
  }
}

// Calls begin(span's bytes, group) in front of each span and use(column, part) for every 32 columns of it.
template <WeightFormat F, class Begin, class Use>
OCTET_INLINE void for_each_span(const QuantizedMatrix& matrix, const Begin& begin, const Use& use) {
  const int cols = matrix.cols;
  std::int64_t group = 0, byte = 0;
  if constexpr (is_block_format(F)) {
    constexpr int span = block_elements(F);
    for (int c = 0; c < cols; c += span, ++group, byte += block_bytes(F)) {
      begin(byte, group);
#pragma GCC unroll 8
      for (int part = 0; part < span / 32; ++part) use(c + 32 * part, part);
    }
  } else {
    const int span = matrix.group_cols < cols ? matrix.group_cols : cols;
    for (int c = 0; c < cols; c += span, ++group) {
      const int end = c + span < cols ? c + span : cols;
      begin(byte, group);
      for (int part = 0; c + 32 * part < end; ++part) use(c + 32 * part, part);
      byte += (end - c) / 32 * block_bytes(F);
    }
  }
}

// Where row `row` begins: its codes, and the number of its first scale.
struct QuantizedRow {
  const std::byte* codes;
  std::int64_t first_group;
};
template <WeightFormat F>
OCTET_INLINE QuantizedRow quantized_row(const QuantizedMatrix& matrix, int row) {
  QuantizedRow at{matrix.codes + row * weight_row_bytes(F, matrix.cols), 0};
  if constexpr (!is_block_format(F))
    at.first_group = static_cast<std::int64_t>(row / matrix.group_rows) *
                     ((matrix.cols + matrix.group_cols - 1) / matrix.group_cols);
  return at;
}

template <class V, WeightFormat F>
void dequantize_row(const QuantizedMatrix& matrix, int row, float* out) {
  const QuantizedRow at = quantized_row<F>(matrix, row);
  const std::byte* p = nullptr;
  SpanScales<V, F> scales;
  for_each_span<F>(
      matrix,
      [&](std::int64_t byte, std::int64_t group) __attribute__((always_inline)) {
        p = at.codes + byte;
        scales = load_scales<V, F>(p, matrix, at.first_group + group);
      },
      [&](int c, int part) __attribute__((always_inline)) {
        for_numbers32<V, F, false>(
            p, part,
            scales, [&](int i, V w) __attribute__((always_inline)) { w.store(out + c + i * V::width); });
      });
}

// The most tokens of a tile; and those up to which tiles that take codes cost less than one of floats.
inline constexpr int kTileTokens = 3, kFewTokens = 6;

// y[m, 0..4) of rows [row, row + 4) for M tokens from `token` on. False, and nothing written, where numbers
// would be wrong: an FP8 code is NaN, or a scale does not take its factor.
template <class V, WeightFormat F, int M>
bool gemv_quantized_tile(const QuantizedGemvArgs& args, int row, int token) {
  constexpr int R = kQuantizedRows;
  const QuantizedMatrix& matrix = args.matrix;
  const float* x[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) x[m] = args.x + (token + m) * args.x_stride;
  V sums[R][M];
  QuantizedRow at[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) sums[r][m] = V::zero();
    at[r] = quantized_row<F>(matrix, row + r);
  }
  const std::byte* p[R];
  SpanScales<V, F> scales[R];
  __m256i most = _mm256_setzero_si256();  // of the FP8 codes' lower seven bits
  bool scales_fit = true;
  // As gemv_tile does: the tile after the next lies right behind it.
  const std::byte* ahead = at[0].codes + 2 * R * weight_row_bytes(F, matrix.cols);
  const auto prefetch = [&](int bytes) __attribute__((always_inline)) {
    for (int i = 0; i < bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T0);
    ahead += bytes;
  };
  constexpr bool has_blocks = is_block_format(F), has_short_blocks = has_blocks && block_elements(F) == 32;
  for_each_span<F>(
      matrix,
      [&](std::int64_t byte, std::int64_t group) __attribute__((always_inline)) {
        if constexpr (has_blocks) prefetch(R * block_bytes(F));
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          p[r] = at[r].codes + byte;
          if constexpr (has_short_blocks) continue;
          scales[r] = load_scales<V, F>(p[r], matrix, at[r].first_group + group);
          if constexpr (is_in_units<F>) {
            scales_fit = scales_fit && takes_factor(scales[r].scale);
            scales[r].scale *= kScaleFactor<V, F>;
          }
        }
      },
      [&](int c, int part) __attribute__((always_inline)) {
        if constexpr (!has_blocks) prefetch(R * block_bytes(F));
        // The compiler would keep the scales of all rows in registers, and the sums in memory.
        const SpanScales<V, F>* scales_now = scales;
        if constexpr (!has_blocks) __asm__ volatile("" : "+r"(scales_now));
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          if constexpr (F == WeightFormat::fp8_groups)
            most = _mm256_max_epu8(most, _mm256_or_si256(codes32<F>(p[r], part), _mm256_set1_epi8(-128)));
          const auto add = [&](int i, V w) __attribute__((always_inline)) {
#pragma GCC unroll 4
            for (int m = 0; m < M; ++m) sums[r][m] = fma(w, V::load(x[m] + c + i * V::width), sums[r][m]);
          };
          if constexpr (has_short_blocks)
            for_numbers32<V, F, true>(p[r], part, load_scales<V, F>(p[r], matrix, 0), add);
          else
            for_numbers32<V, F, true>(p[r], part, scales_now[r], add);
        }
      });
  if (!scales_fit || _mm256_movemask_epi8(_mm256_cmpeq_epi8(most, _mm256_set1_epi8(-1))) != 0) return false;
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m)
    _mm_storeu_ps(args.y + (token + m) * args.y_stride + row,
                  V::reduce_add4(sums[0][m], sums[1][m], sums[2][m], sums[3][m]));
  return true;
}

template <class V, WeightFormat F>
void dequantize_rows(const DequantizeArgs& args) {
  for (int row = args.row_begin; row < args.row_end; ++row)
    dequantize_row<V, F>(args.matrix, row,
                         args.out + static_cast<std::int64_t>(row - args.row_begin) * args.matrix.cols);
}

// Four rows for a few tokens, in tiles of about the same size; false where a tile was wrong.
template <class V, WeightFormat F>
bool gemv_quantized_tiles(const QuantizedGemvArgs& args, int row) {
  for (int token = 0; token < args.num_tokens;) {
    const int left = args.num_tokens - token, tiles = (left + kTileTokens - 1) / kTileTokens;
    const int m = (left + tiles - 1) / tiles;
    if (!(m == 1   ? gemv_quantized_tile<V, F, 1>(args, row, token)
          : m == 2 ? gemv_quantized_tile<V, F, 2>(args, row, token)
                   : gemv_quantized_tile<V, F, 3>(args, row, token)))
      return false;
    token += m;
  }
  return true;
}

template <class V, WeightFormat F>
void gemv_quantized_from(const QuantizedGemvArgs& args) {
  constexpr int R = kQuantizedRows;
  const int cols = args.matrix.cols;
  for (int row = args.row_begin, rows; row < args.row_end; row += rows) {
    rows = args.row_end - row < R ? args.row_end - row : R;
    if (rows == R && args.num_tokens <= kFewTokens && gemv_quantized_tiles<V, F>(args, row)) continue;
    dequantize_rows<V, F>({args.matrix, row, row + rows, args.scratch});
    gemv_block<V, Dtype::float32>(
        {reinterpret_cast<const std::byte*>(args.scratch), static_cast<std::int64_t>(cols) * 4, args.x,
         args.x_stride, args.y + row, args.y_stride, cols},
        rows, args.num_tokens);
  }
}

#define OCTET_EACH_FORMAT(function, args)                   \
  switch ((args).matrix.format) {                           \
    case WeightFormat::q4_0:                                \
      return function<V, WeightFormat::q4_0>(args);         \
    case WeightFormat::q4_1:                                \
      return function<V, WeightFormat::q4_1>(args);         \
    case WeightFormat::q5_0:                                \
      return function<V, WeightFormat::q5_0>(args);         \
    case WeightFormat::q5_1:                                \
      return function<V, WeightFormat::q5_1>(args);         \
    case WeightFormat::q8_0:                                \
      return function<V, WeightFormat::q8_0>(args);         \
    case WeightFormat::q4_k:                                \
      return function<V, WeightFormat::q4_k>(args);         \
    case WeightFormat::q5_k:                                \
      return function<V, WeightFormat::q5_k>(args);         \
    case WeightFormat::q6_k:                                \
      return function<V, WeightFormat::q6_k>(args);         \
    case WeightFormat::uint4_groups:                        \
      return function<V, WeightFormat::uint4_groups>(args); \
    case WeightFormat::uint8_groups:                        \
      return function<V, WeightFormat::uint8_groups>(args); \
    case WeightFormat::int8_groups:                         \
      return function<V, WeightFormat::int8_groups>(args);  \
    case WeightFormat::fp8_groups:                          \
      return function<V, WeightFormat::fp8_groups>(args);   \
  }

template <class V>
void dequantize(const DequantizeArgs& args) noexcept {
  OCTET_EACH_FORMAT(dequantize_rows, args)
}

template <class V>
void gemv_quantized(const QuantizedGemvArgs& args) noexcept {
  OCTET_EACH_FORMAT(gemv_quantized_from, args)
}
#undef OCTET_EACH_FORMAT

}  // namespace
}  // namespace octet::kernels
