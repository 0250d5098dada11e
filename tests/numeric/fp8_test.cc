#include "numeric/fp8.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

namespace octet {
namespace {

struct Shape {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  bool has_infinity;
};

template <class Format>
constexpr Shape kShape{};
template <>
constexpr Shape kShape<fp8_e4m3>{4, 3, 7, false};
template <>
constexpr Shape kShape<fp8_e5m2>{5, 2, 15, true};

// The value of a code, from the text of the OFP8 specification: by arithmetic, not by moving bits.
template <class Format>
double specified(int code) {
  const Shape shape = kShape<Format>;
  const double sign = code & 0x80 ? -1.0 : 1.0;
  const int top = (1 << shape.exponent_bits) - 1;
  const int exponent = (code & 0x7f) >> shape.mantissa_bits;
  const int mantissa = code & ((1 << shape.mantissa_bits) - 1);
  if (exponent == top && shape.has_infinity)
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == top && mantissa == (1 << shape.mantissa_bits) - 1) return std::nan("");
  const double fraction = std::ldexp(mantissa, -shape.mantissa_bits);
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - shape.bias)
                       : sign * std::ldexp(1.0 + fraction, exponent - shape.bias);
}

// The code that a float must become: NaN for NaN, else the nearest finite value, the even code of two.
template <class Format>
int nearest(float value) {
  const int sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return -1;
  const double size = std::fabs(static_cast<double>(value));
  if (size >= static_cast<double>(Format::max)) return sign | Format::from_float(Format::max).bits;
  int best = 0;
  for (int code = 1; code < 0x80 && std::isfinite(specified<Format>(code)); ++code) {
    const double better = std::fabs(specified<Format>(best) - size) - std::fabs(specified<Format>(code) - size);
    if (better > 0.0 || (better == 0.0 && code % 2 == 0)) best = code;
  }
  return sign | best;
}

template <class Format>
void expect_encodes(float value) {
  const int code = Format::from_float(value).bits;
  if (std::isnan(value)) {
    EXPECT_TRUE(std::isnan(specified<Format>(code))) << "code " << code;
    EXPECT_EQ(code >> 7, std::signbit(value) ? 1 : 0);
  } else {
    EXPECT_EQ(code, nearest<Format>(value)) << "value " << value;
  }
}

template <class Format>
class Fp8Test : public testing::Test {};
struct FormatNames {
  template <class Format>
  static std::string GetName(int) {
    return kShape<Format>.has_infinity ? "e5m2" : "e4m3";
  }
};
using Formats = testing::Types<fp8_e4m3, fp8_e5m2>;
TYPED_TEST_SUITE(Fp8Test, Formats, FormatNames);

TYPED_TEST(Fp8Test, EveryCodeDecodesAsSpecified) {
  for (int code = 0; code < 256; ++code) {
    const float decoded = TypeParam{static_cast<std::uint8_t>(code)}.to_float();
    const double expected = specified<TypeParam>(code);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(decoded)) << code;
    } else {
      EXPECT_EQ(static_cast<double>(decoded), expected) << code;
      EXPECT_EQ(std::signbit(decoded), (code & 0x80) != 0) << code;
    }
  }
}

TYPED_TEST(Fp8Test, EveryFiniteCodeComesBack) {
  for (int code = 0; code < 256; ++code) {
    const TypeParam format{static_cast<std::uint8_t>(code)};
    if (!std::isfinite(format.to_float())) continue;
    EXPECT_EQ(TypeParam::from_float(format.to_float()).bits, code);
  }
}

TYPED_TEST(Fp8Test, EveryFloat16EncodesToTheNearest) {
  for (int bits = 0; bits < 65536; ++bits)
    expect_encodes<TypeParam>(float16{static_cast<std::uint16_t>(bits)}.to_float());
}

// Halfway between two neighbours, and one float to either side: where rounding goes wrong first.
TYPED_TEST(Fp8Test, TiesAndTheirNeighbours) {
  for (int code = 0; code < 0x7f; ++code) {
    const double low = specified<TypeParam>(code);
    const double high = specified<TypeParam>(code + 1);
    if (!std::isfinite(high)) break;
    const auto tie = static_cast<float>((low + high) / 2.0);
    for (const float value : {tie, std::nextafterf(tie, 0.0f), std::nextafterf(tie, 1e9f)}) {
      expect_encodes<TypeParam>(value);
      expect_encodes<TypeParam>(-value);
    }
  }
}

TYPED_TEST(Fp8Test, RandomFloatsOfEverySize) {
  std::mt19937 random(7);
  for (int i = 0; i < 30'000; ++i)
    expect_encodes<TypeParam>(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  std::uniform_real_distribution<float> exponent(-20.0f, 17.0f);
  for (int i = 0; i < 30'000; ++i) expect_encodes<TypeParam>(std::exp2(exponent(random)));
}

TYPED_TEST(Fp8Test, SaturatesAndKeepsNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float large : {infinity, std::numeric_limits<float>::max(), TypeParam::max * 1.5f}) {
    EXPECT_EQ(TypeParam::from_float(large).to_float(), TypeParam::max);
    EXPECT_EQ(TypeParam::from_float(-large).to_float(), -TypeParam::max);
  }
  EXPECT_TRUE(std::isnan(TypeParam::from_float(std::nanf("")).to_float()));
  EXPECT_TRUE(std::isnan(TypeParam::from_float(-std::nanf("")).to_float()));
}

}  // namespace
}  // namespace octet
