#include "numeric/float16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace octet {
namespace {

double specified_float16(int bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = (bits >> 10) & 0x1f;
  const double fraction = (bits & 0x3ff) / 1024.0;
  if (exponent == 0x1f) return fraction == 0.0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return exponent == 0 ? sign * std::ldexp(fraction, -14) : sign * std::ldexp(1.0 + fraction, exponent - 15);
}

double specified_bfloat16(int bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = (bits >> 7) & 0xff;
  const double fraction = (bits & 0x7f) / 128.0;
  if (exponent == 0xff) return fraction == 0.0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return exponent == 0 ? sign * std::ldexp(fraction, -126) : sign * std::ldexp(1.0 + fraction, exponent - 127);
}

// The next value beyond the largest finite one: what infinity's code would mean if it were a number. A
// float from halfway to it rounds to infinity.
double next_above(int code, double (*specified)(int)) {
  const double high = specified(code + 1);
  return std::isinf(high) ? specified(code) + (specified(code) - specified(code - 1)) : high;
}

template <class Format>
void check_all(double (*specified)(int), int infinity) {
  for (int code = 0; code < 65536; ++code) {
    const float decoded = Format{static_cast<std::uint16_t>(code)}.to_float();
    const double expected = specified(code);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(decoded)) << code;
      ASSERT_TRUE(std::isnan(Format{Format::from_float(decoded)}.to_float())) << code;
      continue;
    }
    ASSERT_EQ(static_cast<double>(decoded), expected) << code;
    ASSERT_EQ(Format::from_float(decoded).bits, code);
  }
  for (int code = 0; code < infinity; ++code) {
    const double middle = (specified(code) + next_above(code, specified)) / 2.0;
    const auto tie = static_cast<float>(middle);
    if (static_cast<double>(tie) != middle) continue;  // below what a float can hold
    const int even = code % 2 == 0 ? code : code + 1;
    ASSERT_EQ(Format::from_float(tie).bits, even) << tie;
    ASSERT_EQ(Format::from_float(-tie).bits, even | 0x8000) << tie;
    ASSERT_EQ(Format::from_float(std::nextafterf(tie, 0.0f)).bits, code) << tie;
    ASSERT_EQ(Format::from_float(std::nextafterf(tie, std::numeric_limits<float>::infinity())).bits, code + 1)
        << tie;
  }
}

TEST(Float16Test, EveryCodeBothWaysAndEveryTie) { check_all<float16>(specified_float16, 0x7c00); }
TEST(Bfloat16Test, EveryCodeBothWaysAndEveryTie) { check_all<bfloat16>(specified_bfloat16, 0x7f80); }

TEST(Float16Test, OverflowGivesInfinityAndUnderflowZero) {
  EXPECT_EQ(float16::from_float(65519.996f).bits, 0x7bff);
  EXPECT_EQ(float16::from_float(65520.0f).bits, 0x7c00);
  EXPECT_EQ(float16::from_float(-1e30f).bits, 0xfc00);
  EXPECT_EQ(float16::from_float(0x1p-25f).bits, 0x0000);
  EXPECT_EQ(float16::from_float(std::nextafterf(0x1p-25f, 1.0f)).bits, 0x0001);
  EXPECT_EQ(float16::from_float(-0.0f).bits, 0x8000);
  EXPECT_EQ(float16::from_float(std::numeric_limits<float>::denorm_min()).bits, 0x0000);
}

TEST(Bfloat16Test, KeepsNanWhoseUpperBitsAreClear) {
  EXPECT_TRUE(std::isnan(bfloat16::from_float(std::bit_cast<float>(0x7f800001u)).to_float()));
  EXPECT_EQ(bfloat16::from_float(std::numeric_limits<float>::max()).bits, 0x7f80);
}

}  // namespace
}  // namespace octet
