// float16 (IEEE 754 binary16) and bfloat16 as constexpr values, to and from float.
//
// from_float rounds to nearest, ties to even; overflow gives infinity, NaN stays a quiet NaN.
#pragma once

#include <bit>
#include <cstdint>

namespace octet {

struct float16 {
  std::uint16_t bits = 0;

  static constexpr float max = 65504.0f;

  static constexpr float16 from_float(float value) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (word >> 16) & 0x8000u;
    const std::uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
    if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // 65520 and more
    if (magnitude < 0x33000001u) return {static_cast<std::uint16_t>(sign)};             // at most half of 2^-24
    const int exponent = static_cast<int>(magnitude >> 23) - 127;
    const std::uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    const int dropped = exponent < -14 ? 13 + (-14 - exponent) : 13;
    const std::uint32_t half = 1u << (dropped - 1);
    const std::uint32_t rounded = (significand + half - 1 + ((significand >> dropped) & 1u)) >> dropped;
    const std::uint32_t biased = exponent < -14 ? 0u : static_cast<std::uint32_t>(exponent + 14) << 10;
    return {static_cast<std::uint16_t>(sign | (biased + rounded))};
  }

  constexpr float to_float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1fu)
      return std::bit_cast<float>(sign | 0x7f800000u | (mantissa ? 0x400000u : 0u) | (mantissa << 13));
    if (exponent == 0) {  // subnormal: mantissa * 2^-24, exact in float
      const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  }
};

struct bfloat16 {
  std::uint16_t bits = 0;

  static constexpr bfloat16 from_float(float value) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((word >> 16) | 0x40u)};
    return {static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16)};
  }

  constexpr float to_float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

}  // namespace octet
