// The register-blocked matrix product under prefill attention: one tile of C stays in registers while a
// panel of B streams by.
//
// Each step of depth loads kVecs vectors of B once and broadcasts kRows values of A, so kRows * kVecs
// multiply-adds pay for kRows + kVecs loads. With 6 x 2 (of 16 registers) or 12 x 2 (of 32) the two FMA
// units of current cores are the limit, not the loads.
#pragma once

#include "kernels/isa/vec_avx2.h"

namespace octet::kernels {
namespace {

// Rows of a register tile for vector V; its columns are two vectors.
template <class V>
inline constexpr int kTileRows = V::width == 16 ? 12 : 6;
template <class V>
inline constexpr int kTileCols = 2 * V::width;

// How A lies in memory: a[r, k] = a[r * row + k * depth].
struct Strides {
  int row;
  int depth;
};

// c[r, n] = (kAdd ? start[r] * c[r, n] : 0) + sum over k of a[r, k] * b[k, n], for kRows rows and kVecs
// vectors of columns. b [depth, kTileCols]; c has row stride kCRow; `start` [kRows].
template <class V, int kVecs, Strides kA, int kCRow, bool kAdd, int kRows = kTileRows<V>>
OCTET_INLINE void multiply_tile(const float* a, const float* b, int depth, float* c,
                                [[maybe_unused]] const float* start) {
  V sum[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) {
      if constexpr (kAdd)
        sum[r][n] = V::broadcast(start[r]) * V::load(c + r * kCRow + n * V::width);
      else
        sum[r][n] = V::zero();
    }
  }
  for (int k = 0; k < depth; ++k, a += kA.depth, b += kTileCols<V>) {
    V b_k[kVecs];
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) b_k[n] = V::load(b + n * V::width).in_register();
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const V a_rk = V::broadcast(a[r * kA.row]);
#pragma GCC unroll 2
      for (int n = 0; n < kVecs; ++n) sum[r][n] = fma(a_rk, b_k[n], sum[r][n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) sum[r][n].store(c + r * kCRow + n * V::width);
  }
}

}  // namespace
}  // namespace octet::kernels
