// fp8_e4m3 and fp8_e5m2 as constexpr values: the definition of truth for every kernel.
//
// Source: OCP 8-bit Floating Point Specification (OFP8) 1.0; E4M3 is the "fn" variant: bias 7, no
// infinities, S.1111.111 is NaN, largest 448. E5M2: bias 15, infinities and NaN as in IEEE 754, largest
// 57344. Both keep subnormals. from_float saturates: what lies beyond the largest finite value,
// infinities included, becomes it; NaN stays NaN; all else rounds to nearest, ties to even.
#pragma once

#include <bit>
#include <cstdint>

#include "numeric/float16.h"

namespace octet {

namespace numeric_detail {

// Rounds |x| to a float with `mantissa_bits` and least exponent `min_exponent`, as code bits.
// `bits` are the bits of a finite non-negative float.
constexpr std::uint32_t encode_small_float(std::uint32_t bits, int mantissa_bits, int min_exponent,
                                           std::uint32_t max_code) {
  const int exponent = static_cast<int>(bits >> 23) - 127;
  if (exponent < min_exponent - mantissa_bits - 1) return 0;  // below half of the least subnormal
  const std::uint32_t significand = (bits & 0x7fffffu) | 0x800000u;
  // How many of the 23 fraction bits go: more where the result is subnormal.
  const int dropped = 23 - mantissa_bits + (exponent < min_exponent ? min_exponent - exponent : 0);
  const std::uint32_t half = 1u << (dropped - 1);
  const std::uint32_t odd = (significand >> dropped) & 1u;
  const std::uint32_t rounded = (significand + half - 1 + odd) >> dropped;
  // A carry out of the mantissa raises the exponent by itself, since the implicit bit is added to it.
  const std::uint32_t biased =
      exponent < min_exponent ? 0u : static_cast<std::uint32_t>(exponent - min_exponent);
  const std::uint32_t code = (biased << mantissa_bits) + rounded;
  return code > max_code ? max_code : code;
}

}  // namespace numeric_detail

struct fp8_e4m3 {
  std::uint8_t bits = 0;

  static constexpr float max = 448.0f;

  static constexpr fp8_e4m3 from_float(float value) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (word >> 24) & 0x80u;
    const std::uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<std::uint8_t>(sign | 0x7fu)};
    if (magnitude == 0x7f800000u) return {static_cast<std::uint8_t>(sign | 0x7eu)};
    return {static_cast<std::uint8_t>(sign | numeric_detail::encode_small_float(magnitude, 3, -6, 0x7eu))};
  }

  constexpr float to_float() const {
    const std::uint32_t magnitude = bits & 0x7fu;
    if (magnitude == 0x7fu) return std::bit_cast<float>(((bits & 0x80u) << 24) | 0x7fc00000u);
    // float16 has one exponent bit more: shifted into place the value is 2^-8 of the true one, exactly.
    const auto half = static_cast<std::uint16_t>(((bits & 0x80u) << 8) | (magnitude << 7));
    return float16{half}.to_float() * 256.0f;
  }
};

struct fp8_e5m2 {
  std::uint8_t bits = 0;

  static constexpr float max = 57344.0f;

  static constexpr fp8_e5m2 from_float(float value) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (word >> 24) & 0x80u;
    const std::uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<std::uint8_t>(sign | 0x7eu)};
    if (magnitude == 0x7f800000u) return {static_cast<std::uint8_t>(sign | 0x7bu)};
    return {static_cast<std::uint8_t>(sign | numeric_detail::encode_small_float(magnitude, 2, -14, 0x7bu))};
  }

  // The upper byte of a float16, exactly.
  constexpr float to_float() const { return float16{static_cast<std::uint16_t>(bits << 8)}.to_float(); }
};

}  // namespace octet
