// VecF8: eight floats in one AVX2 register, the vector that the shared bodies are templates over.
//
// Everything stands in an anonymous namespace: each file under isa/ is compiled with its own -m flags, and
// a function with external linkage could be merged with another file's copy and run on a CPU that lacks
// its instructions. Needs AVX2, FMA and F16C.
//
// load_exact<D> gives the stored value exactly, NaN included. load_raw<D> gives it divided by
// kRawFactor<D> (256 for fp8_e4m3, else 1), at least cost: fp8_e4m3 has the fields of a float16 whose
// exponent is one bit short, so its bits shifted into place are a float16 of 2^-8 the value, subnormals
// included. The caller multiplies by the factor once, outside its loops. The only code that load_raw gets
// wrong is fp8_e4m3's NaN (0x7f, 0xff), which reads as ±480. Of the per-token-head dtypes there are the codes
// alone (code_dtype), int8_per_token_head standing for signed bytes.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "numeric/dtype.h"

#define OCTET_INLINE inline __attribute__((always_inline))

namespace octet::kernels {
namespace {

template <Dtype D>
inline constexpr float kRawFactor = D == Dtype::fp8_e4m3 ? 256.0f : 1.0f;
constexpr float raw_factor(Dtype dtype) {
  return code_dtype(dtype) == Dtype::fp8_e4m3 ? kRawFactor<Dtype::fp8_e4m3> : 1.0f;
}

struct VecF8 {
  static constexpr int width = 8;
  __m256 v;

  static OCTET_INLINE VecF8 zero() { return {_mm256_setzero_ps()}; }
  static OCTET_INLINE VecF8 broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static OCTET_INLINE VecF8 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  // The first n (0..8) floats and zeros; reads no byte beyond them.
  static OCTET_INLINE VecF8 load_first(const float* p, int n) { return {_mm256_maskload_ps(p, first(n))}; }
  OCTET_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  OCTET_INLINE void store_first(float* p, int n) const { _mm256_maskstore_ps(p, first(n), v); }

  // Lanes [begin, end) of this, `other` elsewhere, without arithmetic: NaN in a dropped lane stays out.
  OCTET_INLINE VecF8 keep(int begin, int end, VecF8 other) const {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(begin), lane);
    const __m256i inside = _mm256_andnot_si256(low, first(end));
    return {_mm256_blendv_ps(other.v, v, _mm256_castsi256_ps(inside))};
  }

  OCTET_INLINE float reduce_add() const {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  // reduce_add of each, to the bit, for less.
  static OCTET_INLINE __m128 reduce_add4(VecF8 a, VecF8 b, VecF8 c, VecF8 d) {
    const auto half = [](VecF8 x) {
      return _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
    };
    const __m128 a4 = half(a), b4 = half(b), c4 = half(c), d4 = half(d);
    const __m128 ab = _mm_add_ps(_mm_movelh_ps(a4, b4), _mm_movehl_ps(b4, a4));
    const __m128 cd = _mm_add_ps(_mm_movelh_ps(c4, d4), _mm_movehl_ps(d4, c4));
    return _mm_add_ps(_mm_shuffle_ps(ab, cd, 0x88), _mm_shuffle_ps(ab, cd, 0xdd));
  }
  // NaN may be dropped.
  OCTET_INLINE float reduce_max() const {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }

  // The same, and in a register: GCC 12 else repeats a load as the memory operand of each multiply-add that
  // uses it, and the loads become the limit.
  OCTET_INLINE VecF8 in_register() const {
    VecF8 x = *this;
    __asm__("" : "+x"(x.v));
    return x;
  }
  OCTET_INLINE float first_lane() const { return _mm256_cvtss_f32(v); }

  // Eight values of type D; no alignment needed.
  template <Dtype D>
  static OCTET_INLINE VecF8 load_raw(const void* p);
  template <Dtype D>
  static OCTET_INLINE VecF8 load_exact(const void* p);
  // Sixteen values of type D.
  template <Dtype D>
  static OCTET_INLINE void load_raw16(const void* p, VecF8 (&out)[2]);
  // Eight bytes, each in a lane: widening costs least where it is part of a load.
  using Integers = __m256i;
  template <bool kSigned>
  static OCTET_INLINE Integers load_bytes(const void* p) {
    const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(p));
    return kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
  }
  static OCTET_INLINE VecF8 of_integers(Integers x) { return {_mm256_cvtepi32_ps(x)}; }
  // Of unsigned bytes.
  static OCTET_INLINE VecF8 of_high_nibbles(Integers x) { return of_integers(_mm256_srli_epi32(x, 4)); }
  static OCTET_INLINE VecF8 of_low_nibbles(Integers x) {
    return of_integers(_mm256_and_si256(x, _mm256_set1_epi32(15)));
  }
  // Of signed bytes as fp8_e4m3: 2^-120 of their values, subnormals included, and NaN as ±480.
  static OCTET_INLINE VecF8 of_fp8(Integers x) {
    // s ssss eeee mmm 0…: the mask clears the copies of the sign.
    const __m256i bits = _mm256_slli_epi32(x, 20);
    return {_mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(0x87f00000u))))};
  }
  // Of 16 bytes the nibbles in their order.
  static OCTET_INLINE VecF8 widen_nibble_pairs(const std::byte* p, int i) {
    int eight;
    __builtin_memcpy(&eight, p + 4 * i, sizeof(eight));
    return of_low_nibbles(
        _mm256_srlv_epi32(_mm256_set1_epi32(eight), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)));
  }
  static OCTET_INLINE VecF8 broadcast_half(std::uint16_t half) {
    return {_mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(half)))};
  }

  static OCTET_INLINE __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

OCTET_INLINE VecF8 operator+(VecF8 a, VecF8 b) { return {_mm256_add_ps(a.v, b.v)}; }
OCTET_INLINE VecF8 operator-(VecF8 a, VecF8 b) { return {_mm256_sub_ps(a.v, b.v)}; }
OCTET_INLINE VecF8 operator*(VecF8 a, VecF8 b) { return {_mm256_mul_ps(a.v, b.v)}; }
OCTET_INLINE VecF8 operator/(VecF8 a, VecF8 b) { return {_mm256_div_ps(a.v, b.v)}; }
// a * b + c, rounded once.
OCTET_INLINE VecF8 fma(VecF8 a, VecF8 b, VecF8 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
// Where either is NaN, b.
OCTET_INLINE VecF8 max(VecF8 a, VecF8 b) { return {_mm256_max_ps(a.v, b.v)}; }
OCTET_INLINE VecF8 min(VecF8 a, VecF8 b) { return {_mm256_min_ps(a.v, b.v)}; }

// The size of x, which has no sign, with the sign of `sign`.
OCTET_INLINE VecF8 with_sign_of(VecF8 x, VecF8 sign) {
  return {_mm256_or_ps(x.v, _mm256_and_ps(sign.v, _mm256_set1_ps(-0.0f)))};
}

// The bits of x that `mask` has.
OCTET_INLINE VecF8 masked(VecF8 x, std::uint32_t mask) {
  return {_mm256_and_ps(x.v, _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(mask))))};
}
// The whole number next to x on the side of zero.
OCTET_INLINE VecF8 whole(VecF8 x) { return {_mm256_round_ps(x.v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }

// exp(x) within 2e-7 of it, relatively; 0 where the result would be below about 2^-126 (x < -87.336), and so
// for -inf; inf above the range of float; NaN for NaN.
//
// x = n ln2 + r, |r| <= ln2 / 2, and exp(r) = 1 + r + r^2 P(r), P a minimax polynomial of degree 4 (error
// 4e-9 of the result before rounding).
OCTET_INLINE VecF8 exp(VecF8 x) {
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x.v, _mm256_set1_ps(0x1.715476p+0f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.63p-1f), x.v);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-0x1.bd0106p-13f), r);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(0x1.6a23cep-10f), r, _mm256_set1_ps(0x1.123a2p-7f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5558f2p-5f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555492p-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffffcp-2f));
  p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
  p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
  // p is in [0.7, 1.42], so adding n to its exponent field stays within it for every x not blended away.
  const __m256i scaled = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23));
  __m256 y = _mm256_castsi256_ps(scaled);
  const __m256 under = _mm256_cmp_ps(x.v, _mm256_set1_ps(-87.336f), _CMP_LT_OQ);
  y = _mm256_andnot_ps(under, y);
  const __m256 over = _mm256_cmp_ps(x.v, _mm256_set1_ps(0x1.62e42ep+6f), _CMP_GT_OQ);
  y = _mm256_blendv_ps(y, _mm256_set1_ps(__builtin_inff()), over);
  return {_mm256_blendv_ps(y, x.v, _mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q))};
}

// 2^x within 6e-7 of it, relatively, for x <= 0: what an online softmax needs, at two thirds of exp's cost. 0
// where the result would be below 2^-126, and so for -inf; NaN for NaN.
//
// x = n + f, |f| <= 1/2, n found by adding 1.5 * 2^23, which leaves it in the sum's low bits.
OCTET_INLINE VecF8 exp2_of_negative(VecF8 x) {
  const __m256 magic = _mm256_set1_ps(0x1.8p+23f);
  const __m256 shifted = _mm256_add_ps(x.v, magic);
  const __m256 f = _mm256_sub_ps(x.v, _mm256_sub_ps(shifted, magic));
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(0x1.23a604p-10f), f, _mm256_set1_ps(0x1.3cbea8p-7f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0x1.c74322p-5f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0x1.ebfa4ep-3f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0x1.62e39ep-1f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
  const __m256i scaled =
      _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
  const __m256 under = _mm256_cmp_ps(x.v, _mm256_set1_ps(-126.0f), _CMP_LT_OQ);
  return {_mm256_andnot_ps(under, _mm256_castsi256_ps(scaled))};
}

// Sixteen FP8 codes as sixteen float16 of their raw value (the value divided by kRawFactor).
template <Dtype D>
OCTET_INLINE __m256i widen16(const void* p) {
  static_assert(is_fp8(D));
  const __m128i codes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  if constexpr (D == Dtype::fp8_e5m2) {
    return _mm256_slli_epi16(_mm256_cvtepu8_epi16(codes), 8);
  } else {
    // s eeeemmm sign-extended, shifted left by 7: s s eeee mmm 0000000; the mask clears the second s.
    return _mm256_and_si256(_mm256_slli_epi16(_mm256_cvtepi8_epi16(codes), 7),
                            _mm256_set1_epi16(static_cast<short>(0xbfff)));
  }
}

// Bytes of sign and magnitude (numeric/per_token_head.h) in two's complement.
OCTET_INLINE __m128i signed_bytes(__m128i codes) {
  return _mm_sign_epi8(_mm_and_si128(codes, _mm_set1_epi8(0x7f)), codes);
}

template <Dtype D>
OCTET_INLINE VecF8 VecF8::load_raw(const void* p) {
  if constexpr (D == Dtype::float32) {
    return {_mm256_loadu_ps(static_cast<const float*>(p))};
  } else if constexpr (D == Dtype::float16) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
  } else if constexpr (D == Dtype::bfloat16) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
  } else if constexpr (D == Dtype::int8_per_token_head) {
    return {_mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(signed_bytes(_mm_loadl_epi64(static_cast<const __m128i*>(p)))))};
  } else if constexpr (D == Dtype::fp8_e5m2) {
    const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(p));
    return {_mm256_cvtph_ps(_mm_unpacklo_epi8(_mm_setzero_si128(), bytes))};
  } else {
    // As widen16.
    const __m128i wide = _mm_cvtepi8_epi16(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
    const __m128i half = _mm_and_si128(_mm_slli_epi16(wide, 7), _mm_set1_epi16(static_cast<short>(0xbfff)));
    return {_mm256_cvtph_ps(half)};
  }
}

template <Dtype D>
OCTET_INLINE VecF8 VecF8::load_exact(const void* p) {
  const VecF8 raw = load_raw<D>(p);
  if constexpr (D != Dtype::fp8_e4m3) {
    return raw;
  } else {
    const VecF8 value = raw * broadcast(kRawFactor<D>);
    const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), value.v);
    const __m256 is_nan = _mm256_cmp_ps(size, _mm256_set1_ps(480.0f), _CMP_EQ_OQ);
    // NaN keeps its sign: the bits of an infinity or NaN are or-ed in.
    return {_mm256_or_ps(value.v, _mm256_and_ps(is_nan, _mm256_set1_ps(__builtin_nanf(""))))};
  }
}

template <Dtype D>
OCTET_INLINE void VecF8::load_raw16(const void* p, VecF8 (&out)[2]) {
  if constexpr (!is_fp8(D)) {
    out[0] = load_raw<D>(p);
    out[1] = load_raw<D>(static_cast<const std::byte*>(p) + 8 * dtype_bytes(D));
  } else {
    const __m256i half = widen16<D>(p);
    out[0] = {_mm256_cvtph_ps(_mm256_castsi256_si128(half))};
    out[1] = {_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1))};
  }
}

}  // namespace
}  // namespace octet::kernels
