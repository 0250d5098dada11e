// Soft-capping of attention scores, cap * tanh(score / cap), over any vector struct V: a step of its own over
// the scores of a row, so that models without it pay for one branch a row.
#pragma once

#include "kernels/isa/vec_avx2.h"

namespace octet::kernels {
namespace {

// Scores in units of log2, and caps with them, are multiplied by it.
constexpr float kLog2E = 0x1.715476p+0f;

// tanh(x) within 5e-7 of it, relatively; NaN for NaN.
//
// tanh|x| = -m / (2 + m), m = e^y - 1, y = -2|x|. With y = n ln2 + r, |r| <= ln2 / 2, m = 2^n (e^r - 1) + (2^n
// - 1): near zero n is 0 and nothing cancels, elsewhere 2^n - 1 is exact and the larger term. e^r - 1 = r + r^2
// P(r) with exp's polynomial (vec_avx2.h). Below y = -32 the result is 1.
template <class V>
OCTET_INLINE V tanh(V x) {
  const V size = masked(x, 0x7fffffffu);
  const V y = max(V::broadcast(-32.0f), V::broadcast(-2.0f) * size);
  const V magic = V::broadcast(0x1.8p+23f);  // added, it leaves the nearest whole number in the sum's low bits
  const V n = fma(y, V::broadcast(kLog2E), magic) - magic;
  V r = fma(n, V::broadcast(-0x1.63p-1f), y);
  r = fma(n, V::broadcast(0x1.bd0106p-13f), r);
  V p = fma(V::broadcast(0x1.6a23cep-10f), r, V::broadcast(0x1.123a2p-7f));
  p = fma(p, r, V::broadcast(0x1.5558f2p-5f));
  p = fma(p, r, V::broadcast(0x1.555492p-3f));
  p = fma(p, r, V::broadcast(0x1.fffffcp-2f));
  p = fma(p, r * r, r);
  const V power = exp2_of_negative(n);  // of a whole number it is exact
  const V m = fma(power, p, power - V::broadcast(1.0f));
  return with_sign_of(m / (V::broadcast(-2.0f) - m), x);
}

// cap * tanh(score * scale / cap) of `count` scores in place, rounded up to whole vectors, each times its
// `scales` too where they are not null.
template <class V>
void cap_scores(float* scores, int count, float scale, const float* scales, float cap) {
  const V factor = V::broadcast(scale / cap);
  for (int i = 0; i < count; i += V::width) {
    V score = V::load(scores + i) * factor;
    if (scales != nullptr) score = score * V::load(scales + i);
    (V::broadcast(cap) * tanh(score)).store(scores + i);
  }
}

}  // namespace
}  // namespace octet::kernels
