// FP8 numbers as the cache stores them, for looking at what storing does: codes from floats and back.
//
// code = nearest(value / scale), ties to even, saturating at the largest finite value (448 or 57344), NaN
// staying NaN; value = number(code) * scale. Any thread may call. Source: OCP 8-bit Floating Point
// Specification (OFP8) 1.0; float8_e4m3fn and float8_e5m2 elsewhere.
#pragma once

#include <octet/error.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace octet {

// `dtype`: "fp8_e4m3" (or "fp8") or "fp8_e5m2". Reads `count` values and writes as many codes.
// Throws Error{invalid_argument} for another dtype, or a scale that is not positive and finite.
OCTET_EXPORT void quantize_fp8(const float* values, std::size_t count, float scale, const std::string& dtype,
                               std::uint8_t* codes);
// The other way; throws likewise.
OCTET_EXPORT void dequantize_fp8(const std::uint8_t* codes, std::size_t count, float scale,
                                 const std::string& dtype, float* values);

}  // namespace octet
