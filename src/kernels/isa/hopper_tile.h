// The sums of Hopper's FP8 tensor core (kernels/quantized_attention.h, hopper_sum.h) over vectors, bit for bit.
//
// A lane is one column; every row and lane has its own largest exponent. All numbers are float32 and exact: FP8
// numbers are told from their exponents' powers of two, which come along in arrays of their own; the products
// have eight bits; scaled so that the largest exponent stands for 2^kHopperFraction they are cut off by
// rounding towards zero; and whole numbers below 2^21 add up exactly, in any order.
#pragma once

#include "kernels/isa/multiply_tile.h"
#include "kernels/quantized_attention.h"

namespace octet::kernels {
namespace {

// 2^exponent of an FP8 number, `least` being that of the subnormals; 0 for 0.
template <class V>
OCTET_INLINE V fp8_power(V x, float least) {
  const V size = masked(x, 0x7fffffffu);
  // 2^126 times the number is at least `least` for every number but zero.
  return min(max(masked(x, 0x7f800000u), V::broadcast(least)), size * V::broadcast(0x1p+126f));
}

// Runs over `size` floats, a multiple of V::width.
template <class V>
OCTET_INLINE void fp8_powers(const float* x, int size, float least, float* powers) {
  for (int i = 0; i < size; i += V::width) fp8_power(V::load(x + i), least).store(powers + i);
}

// An operand with its powers of two.
struct HopperOperand {
  const float* values;
  const float* powers;

  OCTET_INLINE HopperOperand at(int offset) const { return {values + offset, powers + offset}; }
};

// sum[r][n] = what one instruction makes of sum and the products of `depth` steps.
template <class V, int kRows, int kVecs, Strides kA>
OCTET_INLINE void hopper_step(const HopperOperand& a, const HopperOperand& b, int depth,
                              V (&sum)[kRows][kVecs]) {
  constexpr float kUnit = static_cast<float>(1 << kHopperFraction);
  V top[kRows][kVecs];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n)
      top[r][n] = max(masked(sum[r][n], 0x7f800000u), V::broadcast(0x1p-100f));  // or 1 / top would overflow
  for (int k = 0; k < depth; ++k) {
    V b_k[kVecs];
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) b_k[n] = V::load(b.powers + k * kTileCols<V> + n * V::width).in_register();
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const V a_rk = V::broadcast(a.powers[r * kA.row + k * kA.depth]);
#pragma GCC unroll 2
      for (int n = 0; n < kVecs; ++n) top[r][n] = max(a_rk * b_k[n], top[r][n]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) {
      top[r][n] = V::broadcast(kUnit) / top[r][n];  // from here on what brings numbers to whole ones
      sum[r][n] = whole(sum[r][n] * top[r][n]);
    }
  for (int k = 0; k < depth; ++k) {
    V b_k[kVecs];
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) b_k[n] = V::load(b.values + k * kTileCols<V> + n * V::width).in_register();
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const V a_rk = V::broadcast(a.values[r * kA.row + k * kA.depth]);
#pragma GCC unroll 2
      for (int n = 0; n < kVecs; ++n) sum[r][n] = sum[r][n] + whole(a_rk * b_k[n] * top[r][n]);
    }
  }
  constexpr std::uint32_t kKept = ~((1u << (23 - kHopperFraction)) - 1u);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) sum[r][n] = masked(sum[r][n], kKept) / top[r][n];
}

enum class HopperStart { zero, add_after, accumulate };

// c[r, n] = the sum over k in [first, last) of a[r, k] * b[k, n], for kRows rows and kVecs vectors of columns;
// b
// [.., kTileCols], c with row stride kCRow. Instructions begin at multiples of kHopperDepth. What was in c is
// lost (zero), multiplied by start[r] and added to in float32 (add_after), or where the instructions begin
// (accumulate).
template <class V, int kRows, int kVecs, Strides kA, int kCRow, HopperStart kStart>
OCTET_INLINE void multiply_hopper(const HopperOperand& a, const HopperOperand& b, int first, int last, float* c,
                                  [[maybe_unused]] const float* start) {
  V sum[kRows][kVecs];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) {
      if constexpr (kStart == HopperStart::accumulate)
        sum[r][n] = V::broadcast(start[r]) * V::load(c + r * kCRow + n * V::width);
      else
        sum[r][n] = V::zero();
    }
  for (int k = first; k < last;) {
    const int end = k / kHopperDepth * kHopperDepth + kHopperDepth;
    const int depth = (end < last ? end : last) - k;
    hopper_step<V, kRows, kVecs, kA>(a.at(k * kA.depth), b.at(k * kTileCols<V>), depth, sum);
    k += depth;
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int n = 0; n < kVecs; ++n) {
      float* to = c + r * kCRow + n * V::width;
      if constexpr (kStart == HopperStart::add_after)
        (V::broadcast(start[r]) * V::load(to) + sum[r][n]).store(to);
      else
        sum[r][n].store(to);
    }
}

}  // namespace
}  // namespace octet::kernels
