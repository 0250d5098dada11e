#include <gtest/gtest.h>
#include <octet/fp8.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "files/expect_error.h"

namespace octet {
namespace {

// Every code is what it stands for, whatever the scale: a value that a code can hold comes back with its bits.
TEST(Fp8, EveryCodeComesBack) {
  for (const char* dtype : {"fp8_e4m3", "fp8_e5m2"}) {
    std::vector<std::uint8_t> codes(256), again(256);
    std::vector<float> values(256);
    for (int i = 0; i < 256; ++i) codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i);
    dequantize_fp8(codes.data(), codes.size(), 0.25f, dtype, values.data());
    quantize_fp8(values.data(), values.size(), 0.25f, dtype, again.data());
    for (std::size_t i = 0; i < codes.size(); ++i)
      if (std::isfinite(values[i])) {
        EXPECT_EQ(again[i], codes[i]) << dtype << " code " << i;
      }
  }
}

TEST(Fp8, RoundsDividesAndSaturates) {
  // 17 lies between 16 and 18 and the tie goes to the even code; 1e9 is beyond 448.
  const std::vector<float> values = {17.0f, 8.5f, 1e9f, -1e9f, std::numeric_limits<float>::quiet_NaN()};
  std::vector<std::uint8_t> codes(values.size());
  std::vector<float> back(values.size());
  quantize_fp8(values.data(), values.size(), 1.0f, "fp8", codes.data());
  dequantize_fp8(codes.data(), codes.size(), 1.0f, "fp8_e4m3", back.data());
  EXPECT_EQ(back[0], 16.0f);
  EXPECT_EQ(back[2], 448.0f);
  EXPECT_EQ(back[3], -448.0f);
  EXPECT_TRUE(std::isnan(back[4]));
  std::vector<std::uint8_t> halved(1);
  quantize_fp8(values.data() + 1, 1, 0.5f, "fp8", halved.data());
  EXPECT_EQ(halved[0], codes[0]);  // 8.5 / 0.5 is 17
}

TEST(Fp8, RefusesOtherFormatsAndScales) {
  std::uint8_t code = 0;
  float value = 1;
  tests::expect_error(ErrorCode::invalid_argument, {"dtype", "int8"},
                      [&] { quantize_fp8(&value, 1, 1, "int8", &code); });
  for (const float scale : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::nanf("")})
    tests::expect_error(ErrorCode::invalid_argument, {"scale"},
                        [&] { dequantize_fp8(&code, 1, scale, "fp8", &value); });
}

}  // namespace
}  // namespace octet
