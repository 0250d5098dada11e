#include "numeric/fp8.h"

#include <octet/fp8.h>

#include <cmath>

#include "base/error.h"

namespace octet {

namespace {

void check_scale(float scale) {
  if (!(scale > 0) || std::isinf(scale))
    throw Error(ErrorCode::invalid_argument, "expected a positive number, found " + std::to_string(scale),
                "scale");
}

// Calls `with_type` with a number of the format.
template <typename WithType>
void choose_format(const std::string& dtype, const WithType& with_type) {
  if (dtype == "fp8" || dtype == "fp8_e4m3") return with_type(fp8_e4m3());
  if (dtype == "fp8_e5m2") return with_type(fp8_e5m2());
  throw Error(ErrorCode::invalid_argument, "expected fp8_e4m3, fp8_e5m2 or fp8, found '" + dtype + "'",
              "dtype");
}

}  // namespace

void quantize_fp8(const float* values, std::size_t count, float scale, const std::string& dtype,
                  std::uint8_t* codes) {
  check_scale(scale);
  choose_format(dtype, [&](auto format) {
    for (std::size_t i = 0; i < count; ++i) codes[i] = decltype(format)::from_float(values[i] / scale).bits;
  });
}

void dequantize_fp8(const std::uint8_t* codes, std::size_t count, float scale, const std::string& dtype,
                    float* values) {
  check_scale(scale);
  choose_format(dtype, [&](auto format) {
    for (std::size_t i = 0; i < count; ++i) {
      format.bits = codes[i];
      values[i] = format.to_float() * scale;
    }
  });
}

}  // namespace octet
