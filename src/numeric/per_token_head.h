// The per-token-head formats of the KV cache: one vector (one token's key or value of one KV head) as 8-bit
// codes with a scale of its own. The definition of truth for every kernel.
//
//   value = code * scale
//
//   int8_per_token_head           code -127 … 127, kept as sign and magnitude; scale = absmax / 127
//   int8_hadamard_per_token_head  the same, of a key that hadamard() (kernels/hadamard.h) has turned
//   fp8_per_token_head            code e4m3, scale = absmax / 448
//
// Sign and magnitude, because then an integer's byte is taken apart as an FP8 code's is: a table of 128
// magnitudes and a sign to put on. No code is lost: absmax / 127 never makes -128.
//
// The scale is a bfloat16, which has the range of float32: two bytes, where float32 (vLLM's choice, whose names
// the first and the last are) would take four. It is rounded up, before the codes are made, so the codes make
// good what rounding did and nothing saturates; what is lost is at most 0.8% of a step.
//
// A vector with a NaN or an infinity in it is stored as one of NaNs: its scale is NaN. A vector of zeros has
// scale 0.
#pragma once

#include <bit>
#include <cstdint>

#include "numeric/dtype.h"
#include "numeric/float16.h"
#include "numeric/fp8.h"

namespace octet {

// An integer of -127 … 127 as the byte that is stored: bit 7 the sign, the others the magnitude. 0x80 is zero
// too.
struct signed_byte {
  std::uint8_t bits;
  static constexpr signed_byte from_int(int value) {
    return {static_cast<std::uint8_t>(value < 0 ? 0x80 - value : value)};
  }
  constexpr int to_int() const { return bits < 0x80 ? bits : 0x80 - bits; }
  constexpr float to_float() const { return static_cast<float>(to_int()); }
};

// The scale of a vector whose largest magnitude is `absmax`, for a dtype that is_per_token_head.
constexpr bfloat16 vector_scale(KvDtype dtype, float absmax) {
  const float exact = absmax / (code_dtype(dtype) == KvDtype::fp8_e4m3 ? fp8_e4m3::max : 127.0f);
  const std::uint32_t word = std::bit_cast<std::uint32_t>(exact);
  if (word >= 0x7f800000u) return {0x7fc0u};
  return {static_cast<std::uint16_t>((word + 0xffffu) >> 16)};
}

// The code of `value`, as the byte that is stored beside vectors of `scale`.
constexpr std::uint8_t vector_code(KvDtype dtype, float value, bfloat16 scale) {
  const float step = scale.to_float();
  if (!(step > 0.0f)) return 0;  // a vector of zeros or of NaNs
  if (code_dtype(dtype) == KvDtype::fp8_e4m3) return fp8_e4m3::from_float(value / step).bits;
  // Adding 1.5 * 2^23 rounds to nearest, ties to even, and leaves the integer in the low bits.
  const auto integer = static_cast<std::int8_t>(std::bit_cast<std::uint32_t>(value / step + 0x1.8p+23f));
  return signed_byte::from_int(integer).bits;
}

constexpr float vector_value(KvDtype dtype, std::uint8_t code, bfloat16 scale) {
  const float number =
      code_dtype(dtype) == KvDtype::fp8_e4m3 ? fp8_e4m3{code}.to_float() : signed_byte{code}.to_float();
  return number * scale.to_float();
}

}  // namespace octet
