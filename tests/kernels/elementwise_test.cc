#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/reference.h"
#include "tables.h"

namespace octet::kernels {
namespace {

constexpr float kCanary = 12345.0f;

std::vector<float> random_floats(int size, std::mt19937& random, float deviation = 1.0f) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& x : values) x = normal(random);
  return values;
}

class ElementwiseTest : public TableTest {};

TEST_P(ElementwiseTest, RmsNorm) {
  std::mt19937 random(41);
  for (const int size : {1, 7, 8, 9, 31, 32, 33, 64, 100, 576, 4096}) {
    std::vector<float> x = random_floats(size, random, 20.0f), gain = random_floats(size, random);
    std::vector<float> expected(x.size()), out(x.size() + 1, kCanary);
    reference().rms_norm(expected.data(), x.data(), gain.data(), size, 1e-5f);
    table().rms_norm(out.data(), x.data(), gain.data(), size, 1e-5f);
    EXPECT_EQ(out.back(), kCanary);
    table().rms_norm(x.data(), x.data(), gain.data(), size, 1e-5f);  // in place
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(out[i], expected[i], 1e-6f * std::fabs(expected[i]) + 1e-30f) << size << " " << i;
      ASSERT_EQ(x[i], out[i]);
    }
  }
}

TEST_P(ElementwiseTest, Rope) {
  std::mt19937 random(42);
  for (const int head_dim : {2, 6, 16, 20, 64, 80, 96, 128, 256}) {
    constexpr int heads = 3;
    std::vector<float> x = random_floats(heads * head_dim, random), cos, sin;
    for (int i = 0; i < head_dim / 2; ++i) {
      const float angle = static_cast<float>(random() % 1000);
      cos.push_back(std::cos(angle));
      sin.push_back(std::sin(angle));
    }
    std::vector<float> expected = x;
    x.push_back(kCanary);
    reference().rope(expected.data(), cos.data(), sin.data(), heads, head_dim);
    table().rope(x.data(), cos.data(), sin.data(), heads, head_dim);
    EXPECT_EQ(x.back(), kCanary);
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(x[i], expected[i], 1e-6f) << head_dim;
  }
}

// silu(x) for negative x is about x exp(x): this is also where the accuracy of exp shows.
TEST_P(ElementwiseTest, SiluMulOverTheWholeRange) {
  std::vector<float> gate, up;
  for (float x = -86.0f; x < 90.0f; x += 0.00731f) {
    gate.push_back(x);
    up.push_back(1.25f);
  }
  std::vector<float> out(gate.size() + 1, kCanary);
  table().silu_mul(out.data(), gate.data(), up.data(), static_cast<int>(gate.size()));
  EXPECT_EQ(out.back(), kCanary);
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double x = static_cast<double>(gate[i]);
    const double expected = x / (1.0 + std::exp(-x)) * 1.25;
    ASSERT_NEAR(static_cast<double>(out[i]), expected, 6e-7 * std::fabs(expected)) << x;
  }
}

TEST_P(ElementwiseTest, SiluMulEndsAndSizes) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> gate{-1000.0f, 1000.0f, 0.0f, infinity, std::nanf(""), -89.0f, 89.0f};
  const std::vector<float> up(gate.size(), 1.0f);
  table().silu_mul(gate.data(), gate.data(), up.data(), static_cast<int>(gate.size()));  // in place
  EXPECT_EQ(gate[0], 0.0f);
  EXPECT_EQ(gate[1], 1000.0f);
  EXPECT_EQ(gate[2], 0.0f);
  EXPECT_EQ(gate[3], infinity);
  EXPECT_TRUE(std::isnan(gate[4]));
  EXPECT_NEAR(gate[5], 0.0f, 1e-35f);
  EXPECT_EQ(gate[6], 89.0f);
}

TEST_P(ElementwiseTest, Add) {
  std::mt19937 random(43);
  for (const int size : {1, 7, 8, 16, 17, 35, 576}) {
    std::vector<float> x = random_floats(size, random), y = random_floats(size, random), expected = x;
    x.push_back(kCanary);
    table().add(x.data(), y.data(), size);
    EXPECT_EQ(x.back(), kCanary);
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(x[i], expected[i] + y[i]);
  }
}

// Every code of every format of up to 16 bits, exactly; NaN stays NaN.
TEST_P(ElementwiseTest, ToFloatOfEveryCode) {
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16, Dtype::fp8_e4m3, Dtype::fp8_e5m2}) {
    const std::int64_t count = is_fp8(dtype) ? 256 : 65536;
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < count; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(i & 0xff));
      if (!is_fp8(dtype)) bytes.push_back(static_cast<std::uint8_t>(i >> 8));
    }
    std::vector<float> out(static_cast<std::size_t>(count));
    table().to_float(out.data(), bytes.data(), dtype, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const float expected = reference::element(bytes.data(), dtype, i);
      const float actual = out[static_cast<std::size_t>(i)];
      if (std::isnan(expected))
        ASSERT_TRUE(std::isnan(actual)) << dtype_name(dtype) << " code " << i;
      else
        ASSERT_EQ(std::bit_cast<std::uint32_t>(actual), std::bit_cast<std::uint32_t>(expected))
            << dtype_name(dtype) << " code " << i;
    }
  }
}

TEST_P(ElementwiseTest, ToFloatOfEverySizeAndAlignment) {
  std::mt19937 random(44);
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16, Dtype::fp8_e4m3, Dtype::fp8_e5m2})
    for (int size = 0; size < 40; ++size) {
      const std::size_t offset = is_fp8(dtype) ? 1 : 2;
      std::vector<std::byte> in(offset + static_cast<std::size_t>(size) * dtype_bytes(dtype));
      for (int i = 0; i < size; ++i)
        reference::set_element(in.data() + offset, dtype, i, static_cast<float>(random() % 8));
      std::vector<float> out(static_cast<std::size_t>(size) + 1, kCanary);
      table().to_float(out.data(), in.data() + offset, dtype, size);
      EXPECT_EQ(out.back(), kCanary);
      for (int i = 0; i < size; ++i)
        ASSERT_EQ(out[static_cast<std::size_t>(i)], reference::element(in.data() + offset, dtype, i));
    }
}

OCTET_INSTANTIATE_TABLES(ElementwiseTest);

}  // namespace
}  // namespace octet::kernels
