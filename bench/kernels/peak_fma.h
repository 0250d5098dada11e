// What the arithmetic of this machine can do at most: the denominator of every share of peak.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace octet::bench {

// Independent chains of multiply-adds, enough for two units with a latency of five; returns how many were done.
__attribute__((target("avx2,fma"))) inline double spin_fma_avx2(long steps) {
  constexpr int kChains = 12;
  __m256 sum[kChains];
  for (__m256& x : sum) x = _mm256_set1_ps(1.0f);
  __m256 factor = _mm256_set1_ps(0.5f);
  for (long i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sum[c] = _mm256_fmadd_ps(sum[c], factor, factor);
    __asm__ volatile("" : "+x"(factor));
  }
  for (__m256& x : sum) __asm__ volatile("" : "+x"(x));
  return static_cast<double>(steps) * kChains * 8;
}

__attribute__((target("avx512f"))) inline double spin_fma_avx512(long steps) {
  constexpr int kChains = 12;
  __m512 sum[kChains];
  for (__m512& x : sum) x = _mm512_set1_ps(1.0f);
  __m512 factor = _mm512_set1_ps(0.5f);
  for (long i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sum[c] = _mm512_fmadd_ps(sum[c], factor, factor);
    __asm__ volatile("" : "+v"(factor));
  }
  for (__m512& x : sum) __asm__ volatile("" : "+v"(x));
  return static_cast<double>(steps) * kChains * 16;
}

// Products of bfloat16 pairs, summed in float32.
__attribute__((target("avx512f,avx512bf16"))) inline double spin_bf16(long steps) {
  constexpr int kChains = 12;
  __m512 sum[kChains];
  for (__m512& x : sum) x = _mm512_set1_ps(1.0f);
  __m512i factor = _mm512_set1_epi16(0x3f00);
  for (long i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c)
      sum[c] = _mm512_dpbf16_ps(sum[c], reinterpret_cast<__m512bh>(factor), reinterpret_cast<__m512bh>(factor));
    __asm__ volatile("" : "+v"(factor));
  }
  for (__m512& x : sum) __asm__ volatile("" : "+v"(x));
  return static_cast<double>(steps) * kChains * 32;
}

inline double spin_fma(long steps) {
  return __builtin_cpu_supports("avx512f") ? spin_fma_avx512(steps) : spin_fma_avx2(steps);
}

}  // namespace octet::bench
