// Linear layers over quantised weights, over any vector struct V. See quantized_weights.h.
//
// A few tokens: four rows at a time, 32 columns of each turned into floats in registers, then multiplied and
// added in gemv's order. Weights are read once, and memory is the limit only as long as a vector of numbers
// costs a few instructions. A byte is widened as it is loaded, from the stack too, where blocks of 256 columns
// are unpacked first; nothing but the sums has to stay in registers.
//
// More tokens (kFewTokens says from how many on): four rows go into the scratch as floats, and gemv takes them
// from there; or sixteen, where there is a gemm_quantized for many.
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
OCTET_INLINE __m256i widen_bytes16(const std::byte* p) { return _mm256_cvtepu8_epi16(load_bytes16(p)); }
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
// Bytes shifted down by `count`, or up by -count, and what `mask` has of them; constants once unrolled.
OCTET_INLINE __m256i shift_bytes(__m256i bytes, int count, char mask) {
  const __m256i shifted = count < 0 ? _mm256_slli_epi16(bytes, -count) : _mm256_srli_epi16(bytes, count);
  return _mm256_and_si256(shifted, _mm256_set1_epi8(mask));
}

// 32 codes where they can be loaded again, one a byte.
struct Bytes32 {
  alignas(32) std::byte bytes[32];

  OCTET_INLINE explicit Bytes32(__m256i codes) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), codes);
    __asm__("" : "+m"(bytes));  // the compiler would keep them in the register
  }
};

// The codes of a block of 256 columns, 16 bits each. As the bits of a float16 they are subnormal, 2^-24 of the
// code: one instruction makes floats of them, and the scale makes up for it.
struct Halves256 {
  alignas(32) std::uint16_t halves[256];

  OCTET_INLINE void store(int at, __m256i words) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(halves + at), words);
  }
  OCTET_INLINE void store_bytes(int at, __m256i codes) {
    const Bytes32 memory(codes);
    store(at, widen_bytes16(memory.bytes));
    store(at + 16, widen_bytes16(memory.bytes + 16));
  }
};

template <WeightFormat F>
OCTET_INLINE void load_codes256(const std::byte* p, Halves256& out) {
#pragma GCC unroll 8
  for (int part = 0; part < 8; ++part) {
    if constexpr (F == WeightFormat::q4_k) {
      const __m256i words = widen_bytes16(p + 16 + 16 * part);
      const int at = 64 * (part / 2) + 16 * (part % 2);
      out.store(at, _mm256_and_si256(words, _mm256_set1_epi16(15)));
      out.store(at + 32, _mm256_srli_epi16(words, 4));
    } else if constexpr (F == WeightFormat::q5_k) {
      const __m256i low = shift_bytes(load_bytes32(p + 48 + 32 * (part / 2)), 4 * (part % 2), 15);
      out.store_bytes(32 * part, _mm256_or_si256(low, shift_bytes(load_bytes32(p + 16), part - 4, 16)));
    } else {
      const int half = part / 4, quarter = part % 4;
      const __m256i low = shift_bytes(load_bytes32(p + 64 * half + 32 * (quarter % 2)), 4 * (quarter / 2), 15);
      const __m256i high = shift_bytes(load_bytes32(p + 128 + 32 * half), 2 * quarter - 4, 48);
      out.store_bytes(32 * part, _mm256_or_si256(low, high));
    }
  }
  __asm__("" : "+m"(out.halves));  // as in Bytes32
}

constexpr bool has_signed_codes(WeightFormat format) {
  return format == WeightFormat::q8_0 || format == WeightFormat::int8_groups ||
         format == WeightFormat::fp8_groups;
}
constexpr bool has_long_blocks(WeightFormat format) {
  return is_block_format(format) && block_elements(format) == 256;
}

// What is loaded once for a span of columns, a block or a group: scale and offset.
template <class V, WeightFormat F>
struct Span {
  V scale, offset;
};
template <class V, WeightFormat F>
requires(!is_block_format(F)) struct Span<V, F> {
  float scale, offset;
};
// Of a block of 256 columns, `kEach` columns share one of each; and its codes.
template <int kEach>
struct Span256 {
  Halves256 codes;
  float scale[256 / kEach], offset[256 / kEach];
};
template <class V>
struct Span<V, WeightFormat::q4_k> : Span256<32> {};
template <class V>
struct Span<V, WeightFormat::q5_k> : Span256<32> {};
template <class V>
struct Span<V, WeightFormat::q6_k> : Span256<16> {};

// q4_k and q5_k: 8 scales and 8 offsets of six bits in 12 bytes, by words of four.
OCTET_INLINE void load_six_bit_scales(const std::byte* p, Span256<32>& span) {
  const std::uint32_t a = load_word(p + 4), b = load_word(p + 8), c = load_word(p + 12);
  const auto join = [](std::uint32_t low, std::uint32_t high) __attribute__((always_inline)) {
    return VecF8{_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
        _mm_cvtsi64_si128(static_cast<std::int64_t>(low | static_cast<std::uint64_t>(high) << 32))))};
  };
  const VecF8 scales = join(a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | ((a >> 6) & 0x03030303u) << 4);
  const VecF8 offsets = join(b & 0x3f3f3f3fu, ((c >> 4) & 0x0f0f0f0fu) | ((b >> 6) & 0x03030303u) << 4);
  (scales * (load_half<VecF8>(p) * VecF8::broadcast(0x1p24f))).store(span.scale);
  (offsets * (load_half<VecF8>(p + 2) * VecF8::broadcast(-1.0f))).store(span.offset);
}

OCTET_INLINE void load_q6_k_scales(const std::byte* p, Span256<16>& span) {
  const VecF8 d = load_half<VecF8>(p + 208), unit = d * VecF8::broadcast(0x1p24f),
              middle = d * VecF8::broadcast(-32.0f);
#pragma GCC unroll 2
  for (int i = 0; i < 16; i += 8) {
    const VecF8 scales = VecF8::of_integers(VecF8::load_bytes<true>(p + 192 + i));
    (scales * unit).store(span.scale + i);
    (scales * middle).store(span.offset + i);
  }
}

// The block at `p`, or of a format with groups, the group whose scale is number `group`.
template <class V, WeightFormat F>
OCTET_INLINE void load_span(const std::byte* p, const QuantizedMatrix& matrix, std::int64_t group,
                            Span<V, F>& span) {
  if constexpr (F == WeightFormat::q4_k || F == WeightFormat::q5_k) {
    load_six_bit_scales(p, span);
    load_codes256<F>(p, span.codes);
  } else if constexpr (F == WeightFormat::q6_k) {
    load_q6_k_scales(p, span);
    load_codes256<F>(p, span.codes);
  } else if constexpr (is_block_format(F)) {
    span.scale = load_half<V>(p);
    if constexpr (F == WeightFormat::q4_1 || F == WeightFormat::q5_1)
      span.offset = load_half<V>(p + 2);
    else if constexpr (F != WeightFormat::q8_0)
      span.offset = span.scale * V::broadcast(F == WeightFormat::q4_0 ? -8.0f : -16.0f);
  } else {
    span.scale = matrix.scales[group];
    span.offset = matrix.offsets == nullptr ? 0.0f : matrix.offsets[group];
  }
}

// A tile takes FP8 codes for 2^-120 of what they are, and the scale makes up for it; whether that is exact.
inline constexpr float kFp8Unit = 0x1p120f;
OCTET_INLINE bool takes_unit(float scale) {
  const float size = __builtin_fabsf(scale);
  return size == 0.0f || (size >= 0x1p-100f && size < 0x1p7f);
}

// use(i, w) for each vector w of the numbers of columns 32 part + [V::width i, V::width (i + 1)) of the span,
// in a tile those of kFp8Unit. p: the block, or the group's codes.
template <class V, WeightFormat F, bool kTile, class Use>
OCTET_INLINE void for_numbers32(const std::byte* p, int part, const Span<V, F>& span, const Use& use) {
  constexpr int vectors = 32 / V::width;
  const auto each = [&](const auto& code) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int i = 0; i < vectors; ++i) {
      if constexpr (has_long_blocks(F)) {
        constexpr int shared = 256 / (sizeof(span.scale) / sizeof(float));
        const int at = (32 * part + i * V::width) / shared;
        use(i, fma(code(i), V::broadcast(span.scale[at]), V::broadcast(span.offset[at])));
      } else if constexpr (is_block_format(F)) {
        use(i, F == WeightFormat::q8_0 ? code(i) * span.scale : fma(code(i), span.scale, span.offset));
      } else {
        use(i, fma(code(i), V::broadcast(span.scale), V::broadcast(span.offset)));
      }
    }
  };
  const auto bytes = [](const std::byte* from, int i) __attribute__((always_inline)) {
    return V::template load_bytes<has_signed_codes(F)>(from + i * V::width);
  };
  if constexpr (F == WeightFormat::q4_0 || F == WeightFormat::q4_1) {
    constexpr int half = vectors / 2;
    typename V::Integers pairs[half];
#pragma GCC unroll 2
    for (int i = 0; i < half; ++i) pairs[i] = bytes(p + block_bytes(F) - 16, i);
    each([&](int i) __attribute__((always_inline)) {
      return i < half ? V::of_low_nibbles(pairs[i]) : V::of_high_nibbles(pairs[i - half]);
    });
  } else if constexpr (F == WeightFormat::q5_0 || F == WeightFormat::q5_1) {
    const __m256i low = nibbles_in_halves(load_bytes16(p + block_bytes(F) - 16));
    const Bytes32 codes(_mm256_or_si256(low, fifth_bits(load_word(p + block_bytes(F) - 20))));
    each([&](int i) __attribute__((always_inline)) { return V::of_integers(bytes(codes.bytes, i)); });
  } else if constexpr (has_long_blocks(F)) {
    each([&](int i) __attribute__((always_inline)) {
      return V::template load_raw<Dtype::float16>(span.codes.halves + 32 * part + i * V::width);
    });
  } else if constexpr (F == WeightFormat::uint4_groups) {
    each([&](int i) __attribute__((always_inline)) { return V::widen_nibble_pairs(p + 16 * part, i); });
  } else if constexpr (F == WeightFormat::fp8_groups) {
    each([&](int i) __attribute__((always_inline)) {
      if constexpr (kTile)
        return V::of_fp8(bytes(p + 32 * part, i));
      else
        return V::template load_exact<Dtype::fp8_e4m3>(p + 32 * part + i * V::width);
    });
  } else {
    const std::byte* codes = F == WeightFormat::q8_0 ? p + 2 : p + 32 * part;
    each([&](int i) __attribute__((always_inline)) { return V::of_integers(bytes(codes, i)); });
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
  Span<V, F> span;
  for_each_span<F>(
      matrix,
      [&](std::int64_t byte, std::int64_t group) __attribute__((always_inline)) {
        p = at.codes + byte;
        load_span<V, F>(p, matrix, at.first_group + group, span);
      },
      [&](int c, int part) __attribute__((always_inline)) {
        for_numbers32<V, F, false>(
            p, part, span, [&](int i, V w) __attribute__((always_inline)) { w.store(out + c + i * V::width); });
      });
}

// The most tokens of a tile; and those up to which tiles that take codes cost less than one of floats, measured
// on a Zen 3 for AVX2: fewer where codes have to be put together, since each tile does that again.
inline constexpr int kTileTokens = 3;
template <class V, WeightFormat F>
inline constexpr int kFewTokens = V::width == 16 ? 6
                                  : has_long_blocks(F) || F == WeightFormat::q5_0 || F == WeightFormat::q5_1
                                      ? 4
                                      : 8;

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
  Span<V, F> spans[R];
  __m256i most = _mm256_setzero_si256();  // of the FP8 codes' lower seven bits
  bool scales_fit = true;
  // As gemv_tile does: the tile after the next lies right behind it.
  const std::byte* ahead = at[0].codes + 2 * R * weight_row_bytes(F, matrix.cols);
  const auto prefetch = [&](int bytes) __attribute__((always_inline)) {
    for (int i = 0; i < bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T0);
    ahead += bytes;
  };
  constexpr bool has_blocks = is_block_format(F), has_short_blocks = has_blocks && !has_long_blocks(F);
  for_each_span<F>(
      matrix,
      [&](std::int64_t byte, std::int64_t group) __attribute__((always_inline)) {
        if constexpr (has_blocks) prefetch(R * block_bytes(F));
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          p[r] = at[r].codes + byte;
          if constexpr (has_short_blocks) continue;
          load_span<V, F>(p[r], matrix, at[r].first_group + group, spans[r]);
          if constexpr (F == WeightFormat::fp8_groups) {
            scales_fit = scales_fit && takes_unit(spans[r].scale);
            spans[r].scale *= kFp8Unit;
          }
        }
      },
      [&](int c, int part) __attribute__((always_inline)) {
        if constexpr (!has_blocks) prefetch(R * block_bytes(F));
        // The compiler would keep the scales of all rows in registers, and the sums in memory.
        const Span<V, F>* spans_now = spans;
        if constexpr (!has_short_blocks) __asm__ volatile("" : "+r"(spans_now));
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          if constexpr (F == WeightFormat::fp8_groups)
            most =
                _mm256_max_epu8(most, _mm256_or_si256(load_bytes32(p[r] + 32 * part), _mm256_set1_epi8(-128)));
          const auto add = [&](int i, V w) __attribute__((always_inline)) {
#pragma GCC unroll 4
            for (int m = 0; m < M; ++m) sums[r][m] = fma(w, V::load(x[m] + c + i * V::width), sums[r][m]);
          };
          if constexpr (has_short_blocks) {
            Span<V, F> span;
            load_span<V, F>(p[r], matrix, 0, span);
            for_numbers32<V, F, true>(p[r], part, span, add);
          } else {
            for_numbers32<V, F, true>(p[r], part, spans_now[r], add);
          }
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
    if (rows == R && args.num_tokens <= kFewTokens<V, F> && gemv_quantized_tiles<V, F>(args, row)) continue;
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
