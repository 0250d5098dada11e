// Stands in front of the compiler's <immintrin.h> for one test library: src/kernels/isa/avx512.cc compiled
// for an AVX2 machine, its AVX-512 intrinsics carried out by SIMDe. Where SIMDe lacks one that our code
// uses, it is added below.
#pragma once

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <cstring>

// Halves and whole.
static inline __m256 octet_half(__m512 v, int half) {
  float lanes[16];
  std::memcpy(lanes, &v, sizeof(lanes));
  return _mm256_loadu_ps(lanes + 8 * half);
}
static inline __m512 octet_join(__m256 low, __m256 high) {
  float lanes[16];
  _mm256_storeu_ps(lanes, low);
  _mm256_storeu_ps(lanes + 8, high);
  __m512 v;
  std::memcpy(&v, lanes, sizeof(lanes));
  return v;
}
static inline __m512i octet_join(__m256i low, __m256i high) {
  __m256i parts[2] = {low, high};
  __m512i v;
  std::memcpy(&v, parts, sizeof(parts));
  return v;
}

static inline __m512 octet_cvtph(__m256i a) {
  return octet_join(_mm256_cvtph_ps(_mm256_castsi256_si128(a)),
                    _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1)));
}
static inline __m512i octet_cvtepu16(__m256i a) {
  return octet_join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)),
                    _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1)));
}
static inline __m512i octet_cvtepi8(__m128i a) {
  return octet_join(_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8)));
}
static inline __m512i octet_cvtepu8(__m128i a) {
  return octet_join(_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8)));
}
static inline __m512 octet_cvtepi32(__m512i a) {
  __m256i parts[2];
  std::memcpy(parts, &a, sizeof(parts));
  return octet_join(_mm256_cvtepi32_ps(parts[0]), _mm256_cvtepi32_ps(parts[1]));
}
static inline __m512i octet_cvtps(__m512 a) {
  return octet_join(_mm256_cvtps_epi32(octet_half(a, 0)), _mm256_cvtps_epi32(octet_half(a, 1)));
}
// Touches only the lanes of the mask, as the instructions do.
static inline __m512 octet_maskz_loadu(unsigned mask, const void* p) {
  float lanes[16] = {};
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1u) std::memcpy(&lanes[i], static_cast<const float*>(p) + i, sizeof(float));
  return octet_join(_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + 8));
}
static inline void octet_mask_storeu(void* p, unsigned mask, __m512 v) {
  float lanes[16];
  std::memcpy(lanes, &v, sizeof(lanes));
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1u) std::memcpy(static_cast<float*>(p) + i, &lanes[i], sizeof(float));
}

#define _mm512_extractf32x8_ps(v, half) octet_half(v, half)
#define _mm512_cvtph_ps(a) octet_cvtph(a)
#define _mm512_cvtepu16_epi32(a) octet_cvtepu16(a)
#define _mm512_cvtepi8_epi32(a) octet_cvtepi8(a)
#define _mm512_cvtepu8_epi32(a) octet_cvtepu8(a)
#define _mm512_cvtepi32_ps(a) octet_cvtepi32(a)
// SIMDe 0.7.4 does not round towards zero. To whole numbers alone, which need no scaling.
#undef _mm512_roundscale_ps
#define _mm512_roundscale_ps(a, mode) \
  octet_join(_mm256_round_ps(octet_half(a, 0), mode), _mm256_round_ps(octet_half(a, 1), mode))
#define _mm512_cvtps_epi32(a) octet_cvtps(a)
#define _mm512_cvtss_f32(v) _mm256_cvtss_f32(octet_half(v, 0))
#define _mm512_maskz_loadu_ps(mask, p) octet_maskz_loadu(mask, p)
#define _mm512_mask_storeu_ps(p, mask, v) octet_mask_storeu(p, mask, v)
