#include "numeric/per_token_head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace octet {
namespace {

TEST(PerTokenHead, EveryCodeComesBackAsItself) {
  for (const float scale : {1.0f, 0x1p-20f, 1.5f, 3.0f * 0x1p+30f}) {
    const bfloat16 stored = bfloat16::from_float(scale);
    for (int code = -127; code <= 127; ++code) {
      const std::uint8_t byte = signed_byte::from_int(code).bits;
      const float value = vector_value(KvDtype::int8_per_token_head, byte, stored);
      EXPECT_EQ(value, static_cast<float>(code) * scale);
      EXPECT_EQ(vector_code(KvDtype::int8_per_token_head, value, stored), byte);
    }
    for (unsigned code = 0; code < 256; ++code) {
      if ((code & 0x7fu) == 0x7fu) continue;  // NaN
      const auto byte = static_cast<std::uint8_t>(code);
      const float value = vector_value(KvDtype::fp8_per_token_head, byte, stored);
      EXPECT_EQ(vector_code(KvDtype::fp8_per_token_head, value, stored), byte);
    }
  }
}

TEST(PerTokenHead, AByteIsSignAndMagnitude) {
  for (unsigned code = 0; code < 256; ++code) {
    const int magnitude = static_cast<int>(code & 0x7fu);
    const int value = (code & 0x80u) != 0 ? -magnitude : magnitude;
    EXPECT_EQ(signed_byte{static_cast<std::uint8_t>(code)}.to_int(), value);
    EXPECT_EQ(signed_byte::from_int(value).bits, code == 0x80 ? 0u : code);
  }
}

TEST(PerTokenHead, RoundsTiesToEven) {
  const bfloat16 one = bfloat16::from_float(1.0f);
  for (int i = -126; i < 126; ++i) {
    const float tie = static_cast<float>(i) + 0.5f;
    const std::uint8_t code = vector_code(KvDtype::int8_hadamard_per_token_head, tie, one);
    EXPECT_EQ(signed_byte{code}.to_float(), std::nearbyint(tie));
  }
}

// The scale is the least bfloat16 for which nothing saturates, or the next.
TEST(PerTokenHead, ScalesAreRoundedUp) {
  std::mt19937 random(1);
  for (const KvDtype dtype : {KvDtype::int8_per_token_head, KvDtype::fp8_per_token_head}) {
    const float most = dtype == KvDtype::int8_per_token_head ? 127.0f : 448.0f;
    for (int i = 0; i < 100'000; ++i) {
      const float absmax = std::ldexp(std::uniform_real_distribution<float>(1.0f, 2.0f)(random),
                                      std::uniform_int_distribution<int>(-110, 120)(random));
      const bfloat16 scale = vector_scale(dtype, absmax);
      ASSERT_GE(scale.to_float() * most, absmax * (1.0f - 1e-6f));
      ASSERT_LE(scale.to_float() * most, absmax * (1.0f + 0x1p-7f) * (1.0f + 1e-6f));
      const auto code = vector_code(dtype, -absmax, scale);
      ASSERT_NEAR(vector_value(dtype, code, scale), -absmax,
                  (most == 127.0f ? 0.504f / 127 : 1.0f / 16) * absmax);
    }
  }
}

TEST(PerTokenHead, WhatIsNotFiniteMakesNans) {
  for (const KvDtype dtype : {KvDtype::int8_per_token_head, KvDtype::fp8_per_token_head}) {
    const bfloat16 scale = vector_scale(dtype, std::numeric_limits<float>::infinity());
    EXPECT_TRUE(std::isnan(scale.to_float()));
    EXPECT_EQ(vector_code(dtype, 1.0f, scale), 0);
    EXPECT_TRUE(std::isnan(vector_value(dtype, 0, scale)));
    EXPECT_EQ(vector_scale(dtype, 0.0f).bits, 0);
    EXPECT_EQ(vector_value(dtype, vector_code(dtype, 0.0f, {0}), {0}), 0.0f);
  }
}

}  // namespace
}  // namespace octet
