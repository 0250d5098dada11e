// Linear layers over quantised weights, over any vector struct V. See quantized_weights.h.
//
// One token: four rows at a time, 32 columns of each turned into floats in registers, then multiplied and added
// in gemv's order. Weights are read once and memory is the limit, as long as a vector of numbers costs no more
// than a few instructions. So the codes of 32 columns are first brought into the bytes of one register,
// whatever their format; then widened; and one multiply-add makes numbers of them.
//
// More tokens: four rows go into the scratch as floats, and gemv takes them from there; that costs as much as a
// token or two.
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
OCTET_INLINE float load_half(const std::byte* p) {
  std::uint16_t half;
  __builtin_memcpy(&half, p, sizeof(half));
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

// Nibbles of 16 bytes as the bytes of 32: low ones first; or each byte's two side by side.
OCTET_INLINE __m256i nibbles_in_halves(__m128i packed) {
  const __m256i both = _mm256_set_m128i(_mm_srli_epi16(packed, 4), packed);
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
OCTET_INLINE __m256i nibbles_in_pairs(__m128i packed) {
  const __m128i mask = _mm_set1_epi8(15);
  const __m128i low = _mm_and_si128(packed, mask), high = _mm_and_si128(_mm_srli_epi16(packed, 4), mask);
  return _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
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
// Bytes shifted down by `count`, what comes from the neighbour masked away.
OCTET_INLINE __m256i shift_bytes(__m256i bytes, int count, char mask) {
  return _mm256_and_si256(_mm256_srl_epi16(bytes, _mm_cvtsi32_si128(count)), _mm256_set1_epi8(mask));
}

// The 32 codes of columns [32 part, 32 part + 32) of the block at `p`, one a byte; not of fp8_groups.
template <WeightFormat F>
OCTET_INLINE __m256i codes32(const std::byte* p, int part) {
  if constexpr (F == WeightFormat::q4_0) {
    return nibbles_in_halves(load_bytes16(p + 2));
  } else if constexpr (F == WeightFormat::q4_1) {
    return nibbles_in_halves(load_bytes16(p + 4));
  } else if constexpr (F == WeightFormat::q5_0) {
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
  } else if constexpr (F == WeightFormat::uint4_groups) {
    return nibbles_in_pairs(load_bytes16(p + 16 * part));
  } else {
    return load_bytes32(p + 32 * part);
  }
}

constexpr bool has_signed_codes(WeightFormat format) {
  return format == WeightFormat::q8_0 || format == WeightFormat::int8_groups;
}

// The scales and offsets of a span of columns: a block, or a group.
template <WeightFormat F>
struct SpanScales {
  static constexpr bool shares = F == WeightFormat::q4_k || F == WeightFormat::q5_k || F == WeightFormat::q6_k;
  static constexpr int each = F == WeightFormat::q6_k ? 16 : 32;  // columns of one scale, where shares
  static constexpr int count = shares ? 256 / each : 1;
  float scale[count];
  float offset[count];
};

// q4_k and q5_k: 8 scales and 8 offsets of six bits in 12 bytes, by words of four.
OCTET_INLINE void load_six_bit_scales(const std::byte* p, float* scale, float* offset) {
  const std::uint32_t a = load_word(p + 4), b = load_word(p + 8), c = load_word(p + 12);
  const auto join = [](std::uint32_t low, std::uint32_t high) __attribute__((always_inline)) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
        _mm_cvtsi64_si128(static_cast<std::int64_t>(low | static_cast<std::uint64_t>(high) << 32))));
  };
  const __m256 scales = join(a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | ((a >> 6) & 0x03030303u) << 4);
  const __m256 offsets = join(b & 0x3f3f3f3fu, ((c >> 4) & 0x0f0f0f0fu) | ((b >> 6) & 0x03030303u) << 4);
  _mm256_storeu_ps(scale, _mm256_mul_ps(scales, _mm256_set1_ps(load_half(p))));
  _mm256_storeu_ps(offset, _mm256_mul_ps(offsets, _mm256_set1_ps(-load_half(p + 2))));
}

OCTET_INLINE void load_q6_k_scales(const std::byte* p, float* scale, float* offset) {
  const __m256 d = _mm256_set1_ps(load_half(p + 208)), middle = _mm256_set1_ps(-32.0f);
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
template <WeightFormat F>
OCTET_INLINE SpanScales<F> load_scales(const std::byte* p, const QuantizedMatrix& matrix, std::int64_t group) {
  SpanScales<F> scales;
  if constexpr (F == WeightFormat::q4_k || F == WeightFormat::q5_k) {
    load_six_bit_scales(p, scales.scale, scales.offset);
  } else if constexpr (F == WeightFormat::q6_k) {
    load_q6_k_scales(p, scales.scale, scales.offset);
  } else if constexpr (is_block_format(F)) {
    scales.scale[0] = load_half(p);
    if constexpr (F == WeightFormat::q4_1 || F == WeightFormat::q5_1)
      scales.offset[0] = load_half(p + 2);
    else
      scales.offset[0] = scales.scale[0] * (F == WeightFormat::q4_0   ? -8.0f
                                            : F == WeightFormat::q5_0 ? -16.0f
                                                                      : 0.0f);
  } else {
    scales.scale[0] = matrix.scales[group];
    scales.offset[0] = matrix.offsets == nullptr ? 0.0f : matrix.offsets[group];
  }
  return scales;
}

// w = the numbers of the 32 columns `part` of the span.
template <class V, WeightFormat F>
OCTET_INLINE void numbers32(const std::byte* p, int part, const SpanScales<F>& scales, V (&w)[32 / V::width]) {
  constexpr int vectors = 32 / V::width;
  const auto at = [&](int i) __attribute__((always_inline)) {
    return SpanScales<F>::shares ? part * (32 / SpanScales<F>::each) + i * V::width / SpanScales<F>::each : 0;
  };
  if constexpr (F == WeightFormat::fp8_groups) {
    const V scale = V::broadcast(scales.scale[0]), offset = V::broadcast(scales.offset[0]);
#pragma GCC unroll 4
    for (int i = 0; i < vectors; ++i)
      w[i] = fma(V::template load_exact<Dtype::fp8_e4m3>(p + 32 * part + i * V::width), scale, offset);
  } else {
    const __m256i codes = codes32<F>(p, part);
#pragma GCC unroll 4
    for (int i = 0; i < vectors; ++i)
      w[i] = fma(V::template widen<has_signed_codes(F)>(codes, i), V::broadcast(scales.scale[at(i)]),
                 V::broadcast(scales.offset[at(i)]));
  }
}

// Calls use(column, span, part) for every 32 columns and begin(span bytes, group) in front of each span.
template <WeightFormat F, class Begin, class Use>
OCTET_INLINE void for_each_span(const QuantizedMatrix& matrix, const Begin& begin, const Use& use) {
  const int cols = matrix.cols;
  const int group_cols = matrix.group_cols < cols ? matrix.group_cols : cols;
  const int span = is_block_format(F) ? block_elements(F) : group_cols;
  std::int64_t group = 0, byte = 0;
  for (int c = 0; c < cols; c += span, ++group) {
    const int end = c + span < cols ? c + span : cols;
    begin(byte, group);
    for (int part = 0; c + 32 * part < end; ++part) use(c + 32 * part, part);
    byte += (end - c) / block_elements(F) * block_bytes(F);
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
  SpanScales<F> scales;
  for_each_span<F>(
      matrix,
      [&](std::int64_t byte, std::int64_t group) __attribute__((always_inline)) {
        p = at.codes + byte;
        scales = load_scales<F>(p, matrix, at.first_group + group);
      },
      [&](int c, int part) __attribute__((always_inline)) {
        V w[32 / V::width];
        numbers32<V, F>(p, part, scales, w);
#pragma GCC unroll 4
        for (int i = 0; i < 32 / V::width; ++i) w[i].store(out + c + i * V::width);
      });
}

// y[0..4) of rows [row, row + 4) for one token.
template <class V, WeightFormat F>
void gemv_quantized_tile(const QuantizedMatrix& matrix, int row, const float* x, float* y) {
  constexpr int R = kQuantizedRows;
  V sums[R];
  QuantizedRow at[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    sums[r] = V::zero();
    at[r] = quantized_row<F>(matrix, row + r);
  }
  const std::byte* p[R];
  SpanScales<F> scales[R];
  // As gemv_tile does: the tile after the next lies right behind it.
  const std::byte* ahead = at[0].codes + 2 * R * weight_row_bytes(F, matrix.cols);
  for_each_span<F>(
      matrix,
      [&](std::int64_t byte, std::int64_t group) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          p[r] = at[r].codes + byte;
          scales[r] = load_scales<F>(p[r], matrix, at[r].first_group + group);
        }
      },
      [&](int c, int part) __attribute__((always_inline)) {
        constexpr int step_bytes = R * block_bytes(F) / (block_elements(F) / 32);
        for (int i = 0; i < step_bytes; i += 64)
          _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T0);
        ahead += step_bytes;
        V a[32 / V::width];
#pragma GCC unroll 4
        for (int i = 0; i < 32 / V::width; ++i) a[i] = V::load(x + c + i * V::width);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          V w[32 / V::width];
          numbers32<V, F>(p[r], part, scales[r], w);
#pragma GCC unroll 4
          for (int i = 0; i < 32 / V::width; ++i) sums[r] = fma(w[i], a[i], sums[r]);
        }
      });
  _mm_storeu_ps(y, V::reduce_add4(sums[0], sums[1], sums[2], sums[3]));
}

template <class V, WeightFormat F>
void dequantize_rows(const DequantizeArgs& args) {
  for (int row = args.row_begin; row < args.row_end; ++row)
    dequantize_row<V, F>(args.matrix, row,
                         args.out + static_cast<std::int64_t>(row - args.row_begin) * args.matrix.cols);
}

template <class V, WeightFormat F>
void gemv_quantized_from(const QuantizedGemvArgs& args) {
  constexpr int R = kQuantizedRows;
  const int cols = args.matrix.cols;
  for (int row = args.row_begin; row < args.row_end;) {
    const int rows = args.row_end - row < R ? args.row_end - row : R;
    if (rows == R && args.num_tokens == 1) {
      gemv_quantized_tile<V, F>(args.matrix, row, args.x, args.y + row);
    } else {
      dequantize_rows<V, F>({args.matrix, row, row + rows, args.scratch});
      gemv_block<V, Dtype::float32>(
          {reinterpret_cast<const std::byte*>(args.scratch), static_cast<std::int64_t>(cols) * 4, args.x,
           args.x_stride, args.y + row, args.y_stride, cols},
          rows, args.num_tokens);
    }
    row += rows;
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
