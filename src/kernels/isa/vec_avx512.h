// VecF16: sixteen floats in one AVX-512 register; the same interface as VecF8 (vec_avx2.h), which see for
// load_raw and load_exact. Needs AVX-512 F, BW, DQ and VL beside what VecF8 needs.
#pragma once

#include "kernels/isa/vec_avx2.h"

namespace octet::kernels {
namespace {

struct VecF16 {
  static constexpr int width = 16;
  __m512 v;

  static OCTET_INLINE VecF16 zero() { return {_mm512_setzero_ps()}; }
  static OCTET_INLINE VecF16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static OCTET_INLINE VecF16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // The first n (0..16) floats and zeros; reads no byte beyond them.
  static OCTET_INLINE VecF16 load_first(const float* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  OCTET_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  OCTET_INLINE void store_first(float* p, int n) const { _mm512_mask_storeu_ps(p, first(n), v); }

  // Lanes [begin, end) of this, `other` elsewhere, without arithmetic: NaN in a dropped lane stays out.
  OCTET_INLINE VecF16 keep(int begin, int end, VecF16 other) const {
    const auto inside = static_cast<__mmask16>(first(end) & ~first(begin));
    return {_mm512_mask_blend_ps(inside, other.v, v)};
  }

  OCTET_INLINE float reduce_add() const { return (low() + high()).reduce_add(); }
  static OCTET_INLINE __m128 reduce_add4(VecF16 a, VecF16 b, VecF16 c, VecF16 d) {
    return VecF8::reduce_add4(a.low() + a.high(), b.low() + b.high(), c.low() + c.high(), d.low() + d.high());
  }
  // NaN may be dropped.
  OCTET_INLINE float reduce_max() const { return VecF8{_mm256_max_ps(low().v, high().v)}.reduce_max(); }

  OCTET_INLINE VecF16 in_register() const {
    VecF16 x = *this;
#ifdef __AVX512F__  // not so where the tests emulate the instructions
    __asm__("" : "+v"(x.v));
#endif
    return x;
  }
  OCTET_INLINE float first_lane() const { return _mm512_cvtss_f32(v); }

  // Sixteen values of type D; no alignment needed.
  template <Dtype D>
  static OCTET_INLINE VecF16 load_raw(const void* p);
  template <Dtype D>
  static OCTET_INLINE VecF16 load_exact(const void* p);
  template <Dtype D>
  static OCTET_INLINE void load_raw16(const void* p, VecF16 (&out)[1]) {
    out[0] = load_raw<D>(p);
  }

  // As those of VecF8.
  using Integers = __m512i;
  template <bool kSigned>
  static OCTET_INLINE Integers load_bytes(const void* p) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
    return kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  }
  static OCTET_INLINE VecF16 of_integers(Integers x) { return {_mm512_cvtepi32_ps(x)}; }
  static OCTET_INLINE VecF16 of_high_nibbles(Integers x) { return of_integers(_mm512_srli_epi32(x, 4)); }
  static OCTET_INLINE VecF16 of_low_nibbles(Integers x) {
    return of_integers(_mm512_and_si512(x, _mm512_set1_epi32(15)));
  }
  static OCTET_INLINE VecF16 of_fp8(Integers x) {
    const __m512i bits = _mm512_slli_epi32(x, 20);
    return {_mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(static_cast<int>(0x87f00000u))))};
  }
  static OCTET_INLINE VecF16 widen_nibble_pairs(const std::byte* p, int i) {
    const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8 * i)),
                  mask = _mm_set1_epi8(15);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), mask);
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi8(_mm_and_si128(packed, mask), high)))};
  }
  static OCTET_INLINE VecF16 broadcast_half(std::uint16_t half) {
    return {_mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(half)))};
  }

  OCTET_INLINE VecF8 low() const { return {_mm512_castps512_ps256(v)}; }
  OCTET_INLINE VecF8 high() const { return {_mm512_extractf32x8_ps(v, 1)}; }
  // n < 0 counts as 0 and n > 16 as 16.
  static OCTET_INLINE __mmask16 first(int n) {
    const unsigned count = n < 0 ? 0u : n > 16 ? 16u : static_cast<unsigned>(n);
    return static_cast<__mmask16>((1u << count) - 1u);
  }
};

OCTET_INLINE VecF16 operator+(VecF16 a, VecF16 b) { return {_mm512_add_ps(a.v, b.v)}; }
OCTET_INLINE VecF16 operator-(VecF16 a, VecF16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
OCTET_INLINE VecF16 operator*(VecF16 a, VecF16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
OCTET_INLINE VecF16 operator/(VecF16 a, VecF16 b) { return {_mm512_div_ps(a.v, b.v)}; }
// a * b + c, rounded once.
OCTET_INLINE VecF16 fma(VecF16 a, VecF16 b, VecF16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// Where either is NaN, b.
OCTET_INLINE VecF16 max(VecF16 a, VecF16 b) { return {_mm512_max_ps(a.v, b.v)}; }
OCTET_INLINE VecF16 min(VecF16 a, VecF16 b) { return {_mm512_min_ps(a.v, b.v)}; }

// As those of VecF8.
OCTET_INLINE VecF16 masked(VecF16 x, std::uint32_t mask) {
  return {_mm512_and_ps(x.v, _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(mask))))};
}
OCTET_INLINE VecF16 with_sign_of(VecF16 x, VecF16 sign) {
  return {_mm512_or_ps(x.v, masked(sign, 0x80000000u).v)};
}
OCTET_INLINE VecF16 whole(VecF16 x) {
  return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)};
}

// As exp(VecF8), step by step.
OCTET_INLINE VecF16 exp(VecF16 x) {
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x.v, _mm512_set1_ps(0x1.715476p+0f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.63p-1f), x.v);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-0x1.bd0106p-13f), r);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0x1.6a23cep-10f), r, _mm512_set1_ps(0x1.123a2p-7f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.5558f2p-5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555492p-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.fffffcp-2f));
  p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
  p = _mm512_add_ps(p, _mm512_set1_ps(1.0f));
  const __m512i scaled = _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23));
  __m512 y = _mm512_castsi512_ps(scaled);
  const __mmask16 under = _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(-87.336f), _CMP_LT_OQ);
  y = _mm512_mask_blend_ps(under, y, _mm512_setzero_ps());
  const __mmask16 over = _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(0x1.62e42ep+6f), _CMP_GT_OQ);
  y = _mm512_mask_blend_ps(over, y, _mm512_set1_ps(__builtin_inff()));
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q), y, x.v)};
}

// As exp2_of_negative(VecF8), step by step.
OCTET_INLINE VecF16 exp2_of_negative(VecF16 x) {
  const __m512 magic = _mm512_set1_ps(0x1.8p+23f);
  const __m512 shifted = _mm512_add_ps(x.v, magic);
  const __m512 f = _mm512_sub_ps(x.v, _mm512_sub_ps(shifted, magic));
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0x1.23a604p-10f), f, _mm512_set1_ps(0x1.3cbea8p-7f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.c74322p-5f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.ebfa4ep-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.62e39ep-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  const __m512i scaled =
      _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
  const __mmask16 under = _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(-126.0f), _CMP_LT_OQ);
  return {_mm512_mask_blend_ps(under, _mm512_castsi512_ps(scaled), _mm512_setzero_ps())};
}

template <Dtype D>
OCTET_INLINE VecF16 VecF16::load_raw(const void* p) {
  if constexpr (D == Dtype::float32) {
    return {_mm512_loadu_ps(static_cast<const float*>(p))};
  } else if constexpr (D == Dtype::float16) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  } else if constexpr (D == Dtype::bfloat16) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
  } else if constexpr (D == Dtype::int8_per_token_head) {
    return {_mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(signed_bytes(_mm_loadu_si128(static_cast<const __m128i*>(p)))))};
  } else {
    return {_mm512_cvtph_ps(widen16<D>(p))};
  }
}

template <Dtype D>
OCTET_INLINE VecF16 VecF16::load_exact(const void* p) {
  const VecF16 raw = load_raw<D>(p);
  if constexpr (D != Dtype::fp8_e4m3) {
    return raw;
  } else {
    const VecF16 value = raw * broadcast(kRawFactor<D>);
    const __m512 size = _mm512_abs_ps(value.v);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(size, _mm512_set1_ps(480.0f), _CMP_EQ_OQ);
    const __m512 nan = _mm512_or_ps(value.v, _mm512_set1_ps(__builtin_nanf("")));
    return {_mm512_mask_blend_ps(is_nan, value.v, nan)};
  }
}

}  // namespace
}  // namespace octet::kernels
