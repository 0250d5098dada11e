// Stored numbers as bfloat16, in the pairs that vdpbf16ps multiplies: exact for bfloat16, FP8 and signed bytes.
//
// Eight-bit codes go through two tables of 128 bytes, the low and the high byte of the bfloat16 of each
// magnitude, 64 codes at a time; the sign is or-ed in. A table and no shifting, because vdpbf16ps takes
// subnormals for zero: those of FP8 are normal as bfloat16, but a shift would leave them what they are.
// fp8_e4m3's NaN counts as ±480, as it does in decode_body.h. Needs AVX512-VBMI beside AVX512-BF16.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/isa/vec_avx2.h"

namespace octet::kernels {
namespace {

// Whether bfloat16 holds every stored number of the dtype.
constexpr bool is_bfloat16_exact(Dtype dtype) { return dtype != Dtype::float32 && dtype != Dtype::float16; }

// The bfloat16 of mantissa * 2^exponent, mantissa < 256.
constexpr unsigned bfloat16_bits(unsigned mantissa, int exponent) {
  if (mantissa == 0) return 0;
  for (; (mantissa & 0x80u) == 0; mantissa <<= 1) --exponent;
  return (static_cast<unsigned>(exponent + 7 + 127) << 7) | (mantissa & 0x7fu);
}

// The bfloat16 of the code with the sign bit taken off.
template <Dtype D>
constexpr unsigned bfloat16_of_magnitude(unsigned code) {
  if constexpr (D == Dtype::fp8_e4m3) {
    const unsigned e = code >> 3, m = code & 7;
    return e == 0 ? bfloat16_bits(m, -9) : bfloat16_bits(8 + m, static_cast<int>(e) - 10);
  } else if constexpr (D == Dtype::fp8_e5m2) {
    const unsigned e = code >> 2, m = code & 3;
    if (e == 31) return m == 0 ? 0x7f80u : 0x7fc0u;
    return e == 0 ? bfloat16_bits(m, -16) : bfloat16_bits(4 + m, static_cast<int>(e) - 17);
  } else {
    return bfloat16_bits(code, 0);
  }
}

struct MagnitudeTable {
  alignas(64) std::uint8_t low[128];
  alignas(64) std::uint8_t high[128];
};

template <Dtype D>
constexpr MagnitudeTable make_magnitude_table() {
  MagnitudeTable table{};
  for (unsigned code = 0; code < 128; ++code) {
    const unsigned bits = bfloat16_of_magnitude<D>(code);
    table.low[code] = static_cast<std::uint8_t>(bits & 0xffu);
    table.high[code] = static_cast<std::uint8_t>(bits >> 8);
  }
  return table;
}

template <Dtype D>
inline constexpr MagnitudeTable kMagnitudes = make_magnitude_table<D>();

// The tables in registers.
template <Dtype D>
class CodeTable {
 public:
  OCTET_INLINE CodeTable()
      : low_{_mm512_load_si512(kMagnitudes<D>.low), _mm512_load_si512(kMagnitudes<D>.low + 64)},
        high_{_mm512_load_si512(kMagnitudes<D>.high), _mm512_load_si512(kMagnitudes<D>.high + 64)},
        sign_(_mm512_set1_epi8(static_cast<char>(0x80))) {}

  // The low and the high bytes of the bfloat16 of 64 codes.
  OCTET_INLINE void look_up(__m512i codes, __m512i& low, __m512i& high) const {
    __asm__("" : "+v"(codes));  // or GCC would load them anew for each use
    low = _mm512_permutex2var_epi8(low_[0], codes, low_[1]);
    high = _mm512_permutex2var_epi8(high_[0], codes, high_[1]);
    // high | (codes & sign)
    high = _mm512_ternarylogic_epi32(high, codes, sign_, 0xf8);
  }

 private:
  __m512i low_[2], high_[2], sign_;
};
template <>
class CodeTable<Dtype::bfloat16> {};

// Sixteen floats as the sum of two bfloat16, to within 2^-17 of each.
OCTET_INLINE void split16(__m512 x, void* high, void* low) {
  // Rounded to nearest in place: the carry goes where it should. A NaN that it wraps leaves NaN in `low`.
  const __m512i rounded = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000)),
                                           _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
  const __m512 part = _mm512_castsi512_ps(rounded);
  _mm256_storeu_si256(static_cast<__m256i*>(high), (__m256i)_mm512_cvtneps_pbh(part));
  _mm256_storeu_si256(static_cast<__m256i*>(low), (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(x, part)));
}

// sum + the products of pairs of bfloat16, each added to the float of its lane.
OCTET_INLINE __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

}  // namespace
}  // namespace octet::kernels
