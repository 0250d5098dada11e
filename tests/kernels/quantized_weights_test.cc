#include "kernels/quantized_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/reference.h"
#include "numeric/float16.h"
#include "packed_block.h"
#include "tables.h"

namespace octet::kernels {
namespace {

constexpr WeightFormat kFormats[] = {
    WeightFormat::q4_0,         WeightFormat::q4_1,        WeightFormat::q5_0,
    WeightFormat::q5_1,         WeightFormat::q8_0,        WeightFormat::q4_k,
    WeightFormat::q5_k,         WeightFormat::q6_k,        WeightFormat::uint4_groups,
    WeightFormat::uint8_groups, WeightFormat::int8_groups, WeightFormat::fp8_groups};

// Where the scales (float16) stand in a block.
std::vector<int> half_places(WeightFormat format) {
  switch (format) {
    case WeightFormat::q4_0:
    case WeightFormat::q5_0:
    case WeightFormat::q8_0:
      return {0};
    case WeightFormat::q6_k:
      return {208};
    default:
      return {0, 2};
  }
}

// Random codes under scales of ordinary size; everything may stand at any alignment.
struct TestMatrix {
  std::vector<std::byte> bytes;
  std::vector<float> scales, offsets;
  QuantizedMatrix matrix;

  TestMatrix(WeightFormat format, int rows, int cols, int group_rows, int group_cols, bool has_offsets,
             std::mt19937& random) {
    std::uniform_real_distribution<float> size(-0.1f, 0.1f);
    const auto count = static_cast<std::size_t>(rows * weight_row_bytes(format, cols));
    bytes.resize(count + 1);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (format == WeightFormat::fp8_groups)
      for (std::byte& byte : bytes) byte &= static_cast<std::byte>(0xfe);  // no NaN: it equals nothing
    if (is_block_format(format)) {
      const auto each = static_cast<std::size_t>(block_bytes(format));
      for (std::size_t at = 1; at < bytes.size(); at += each)
        for (const int place : half_places(format)) {
          const float16 half = float16::from_float(size(random));
          std::memcpy(bytes.data() + at + static_cast<std::size_t>(place), &half.bits, 2);
        }
    } else {
      const int groups = (rows + group_rows - 1) / group_rows * ((cols + group_cols - 1) / group_cols);
      for (int i = 0; i < groups; ++i) {
        scales.push_back(size(random));
        if (has_offsets) offsets.push_back(size(random));
      }
    }
    matrix = {bytes.data() + 1,
              format,
              cols,
              scales.empty() ? nullptr : scales.data(),
              offsets.empty() ? nullptr : offsets.data(),
              group_rows,
              group_cols};
  }
};

class QuantizedWeightsTest : public TableTest {
 protected:
  // Calls check(matrix, rows) for every format and several shapes and groups.
  template <typename Check>
  void for_each_matrix(Check check) {
    std::mt19937 random(51);
    constexpr int kRows = 11;
    for (const WeightFormat format : kFormats) {
      const std::vector<int> widths =
          block_elements(format) == 256 ? std::vector<int>{256, 768} : std::vector<int>{32, 96, 576};
      for (const int cols : widths) {
        SCOPED_TRACE(testing::Message() << "format " << static_cast<int>(format) << " cols " << cols);
        if (is_block_format(format)) {
          check(TestMatrix(format, kRows, cols, 1, cols, false, random), kRows);
          check(TestMatrix(format, 2 * kRows, cols, 1, cols, false, random), 2 * kRows);
        } else {
          check(TestMatrix(format, kRows, cols, 1, cols, false, random), kRows);
          check(TestMatrix(format, kRows, cols, 1, 32, true, random), kRows);
          check(TestMatrix(format, kRows, cols, 4, 128, true, random), kRows);
          check(TestMatrix(format, kRows, cols, kRows, cols + 7, false, random), kRows);
        }
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
};

TEST_P(QuantizedWeightsTest, NumbersAreThoseOfTheReferenceToTheBit) {
  for_each_matrix([&](const TestMatrix& m, int rows) {
    std::vector<float> found(static_cast<std::size_t>(rows * m.matrix.cols)), expected(found.size());
    table().dequantize({m.matrix, 0, rows, found.data()});
    reference().dequantize({m.matrix, 0, rows, expected.data()});
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], expected[i]) << i;
    std::vector<float> row(static_cast<std::size_t>(m.matrix.cols));
    table().dequantize({m.matrix, rows - 1, rows, row.data()});
    for (int i = 0; i < m.matrix.cols; ++i)
      ASSERT_EQ(row[static_cast<std::size_t>(i)],
                expected[static_cast<std::size_t>((rows - 1) * m.matrix.cols + i)]);
  });
}

// One token and many, whole tiles and single rows: the bits of gemv over the dequantised matrix.
TEST_P(QuantizedWeightsTest, ProductsAreThoseOfTheDequantizedMatrixToTheBit) {
  std::mt19937 random(52);
  std::normal_distribution<float> normal;
  for_each_matrix([&](const TestMatrix& m, int rows) {
    const int cols = m.matrix.cols;
    std::vector<float> weights(static_cast<std::size_t>(rows * cols));
    reference().dequantize({m.matrix, 0, rows, weights.data()});
    for (const int tokens : {1, 2, 3, 4, 5, 7, 8, 10}) {
      const int x_stride = cols + 3, y_stride = rows + 2, begin = tokens % 3, end = rows - tokens / 7;
      std::vector<float> x(static_cast<std::size_t>(tokens * x_stride)),
          scratch(static_cast<std::size_t>(kQuantizedRows * cols));
      for (float& value : x) value = normal(random);
      std::vector<float> found(static_cast<std::size_t>(tokens * y_stride), 12345.0f), expected = found,
                                                                                       truth = found;
      table().gemv_quantized(
          {m.matrix, begin, end, x.data(), x_stride, found.data(), y_stride, tokens, scratch.data()});
      table().gemv({weights.data(), Dtype::float32, cols, begin, end, x.data(), x_stride, expected.data(),
                    y_stride, tokens});
      reference().gemv_quantized(
          {m.matrix, begin, end, x.data(), x_stride, truth.data(), y_stride, tokens, scratch.data()});
      for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i], expected[i]) << tokens << " tokens at " << i;
        ASSERT_NEAR(found[i], truth[i], 1e-3f + 1e-4f * std::abs(truth[i]));
      }
    }
  });
}

// Of many tokens, where a table has it: the bits that few have, whole panels and rows left over.
TEST_P(QuantizedWeightsTest, ManyTokensHaveTheBitsOfFew) {
  if (table().gemm_quantized == nullptr) GTEST_SKIP() << table().isa << " has no gemm_quantized";
  std::mt19937 random(54);
  std::normal_distribution<float> normal;
  constexpr int kTokens = 13;
  for_each_matrix([&](const TestMatrix& m, int rows) {
    const int cols = m.matrix.cols, x_stride = cols + 3, y_stride = rows + 2;
    std::vector<float> x(static_cast<std::size_t>(kTokens * x_stride));
    for (float& value : x) value = normal(random);
    const std::vector<float> packed = packed_block(table(), x.data(), x_stride, kTokens, cols);
    std::vector<float> scratch(table().gemm_scratch_floats(kTokens, cols));
    std::vector<float> found(static_cast<std::size_t>(kTokens * y_stride), 12345.0f), expected = found;
    table().gemm_quantized({m.matrix, 1, rows, packed.data(), found.data(), y_stride, kTokens, scratch.data()});
    table().gemv_quantized(
        {m.matrix, 1, rows, x.data(), x_stride, expected.data(), y_stride, kTokens, scratch.data()});
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], expected[i]) << "at " << i;
  });
}

// Scales of any size, and FP8's NaN: what the tiles of a few tokens leave to the kernel of many.
TEST_P(QuantizedWeightsTest, ExtremeScalesAreExactAndNanStays) {
  std::mt19937 random(53);
  constexpr int kRows = 8, kCols = 96;
  for (const WeightFormat format : {WeightFormat::int8_groups, WeightFormat::fp8_groups})
    for (const float scale :
         {0.0f, 0x1p-140f, 0x1.234p-110f, 0x1.234p-99f, -0x1.234p6f, 0x1.234p9f, 0x1p110f}) {
      SCOPED_TRACE(testing::Message() << "format " << static_cast<int>(format) << " scale " << scale);
      TestMatrix m(format, kRows, kCols, 1, 32, false, random);
      m.scales[7] = scale;  // of row 2
      std::vector<float> weights(kRows * kCols), x(kCols, 1.0f), found(kRows), expected(kRows),
          scratch(kQuantizedRows * kCols);
      reference().dequantize({m.matrix, 0, kRows, weights.data()});
      table().gemv(
          {weights.data(), Dtype::float32, kCols, 0, kRows, x.data(), kCols, expected.data(), kRows, 1});
      table().gemv_quantized({m.matrix, 0, kRows, x.data(), kCols, found.data(), kRows, 1, scratch.data()});
      EXPECT_EQ(found, expected);
      if (format != WeightFormat::fp8_groups) continue;
      m.bytes[1 + 5 * kCols + 40] = std::byte{0xff};
      table().gemv_quantized({m.matrix, 0, kRows, x.data(), kCols, found.data(), kRows, 1, scratch.data()});
      for (int row = 0; row < kRows; ++row)
        if (row == 5)
          EXPECT_TRUE(std::isnan(found[5]));
        else
          EXPECT_EQ(found[static_cast<std::size_t>(row)], expected[static_cast<std::size_t>(row)]);
    }
}

OCTET_INSTANTIATE_TABLES(QuantizedWeightsTest);

}  // namespace
}  // namespace octet::kernels
