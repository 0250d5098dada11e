// The sum that Hopper's FP8 tensor core makes, by definition and slowly: see quantized_attention.h for what it
// is and where that is known from. The reference kernels add with it; the fast ones must give the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/quantized_attention.h"

namespace octet::kernels {

// An FP8 number with the least exponent that its format has: -6 for e4m3, -14 for e5m2. Subnormals have that
// one.
struct Fp8Number {
  double value;
  int least_exponent;

  int exponent() const { return std::max(std::ilogb(value), least_exponent); }
};

// c plus the sum over k in [0, depth) of a(k) * b(k), for depth up to kHopperDepth: what one instruction gives.
// a and b return Fp8Number. NaN where one of them is NaN or infinite.
template <class A, class B>
double hopper_sum(double c, int depth, A&& a, B&& b) {
  constexpr int kNone = -1000;
  int top = c == 0 ? kNone : std::ilogb(c);
  for (int k = 0; k < depth; ++k) {
    const double product = a(k).value * b(k).value;
    if (!std::isfinite(product + c)) return std::numeric_limits<double>::quiet_NaN();
    if (product != 0) top = std::max(top, a(k).exponent() + b(k).exponent());
  }
  if (top == kNone) return 0;
  const auto aligned = [&](double x) { return std::trunc(std::ldexp(x, kHopperFraction - top)); };
  double sum = aligned(c);  // whole numbers below 2^21: exact
  for (int k = 0; k < depth; ++k) sum += aligned(a(k).value * b(k).value);
  if (sum == 0) return 0;
  const int dropped = std::ilogb(sum) - kHopperFraction;
  return std::ldexp(std::trunc(std::ldexp(sum, -dropped)), dropped + top - kHopperFraction);
}

}  // namespace octet::kernels
