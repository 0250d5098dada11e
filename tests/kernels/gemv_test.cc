#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/reference.h"
#include "linear_problem.h"
#include "numeric/float16.h"
#include "tables.h"

namespace octet::kernels {
namespace {

class GemvTest : public TableTest {
 protected:
  void check(const LinearProblem& p, std::mt19937& random) {
    SCOPED_TRACE(p.description());
    LinearData data(p, random);
    std::vector<float>& y = data.y;
    std::vector<float> expected = y;
    GemvArgs args{.weight = data.weight,
                  .weight_dtype = p.dtype,
                  .cols = p.cols,
                  .row_begin = p.row_begin,
                  .row_end = p.row_end,
                  .x = data.x.data(),
                  .x_stride = data.x_stride,
                  .y = y.data(),
                  .y_stride = data.y_stride,
                  .num_tokens = p.num_tokens};
    table().gemv(args);
    args.y = expected.data();
    reference().gemv(args);
    const float tolerance = 1e-6f * (4.0f + 4.0f * std::sqrt(static_cast<float>(p.cols)));
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], tolerance) << "at " << i;
  }
};

TEST_P(GemvTest, EveryTypeAndColumnCount) {
  std::mt19937 random(21);
  for (const Dtype dtype : kWeightDtypes)
    for (const int cols : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 576}) {
      check({dtype, 11, cols, 1, 0, 11}, random);
      check({dtype, 11, cols, 5, 0, 11}, random);
      if (HasFatalFailure()) return;
    }
}

TEST_P(GemvTest, EveryNumberOfTokensAndRowRange) {
  std::mt19937 random(22);
  for (int tokens = 0; tokens <= 20; ++tokens)
    for (int rows = 0; rows <= 9; ++rows) {
      const int begin = static_cast<int>(random() % 4);
      check({kWeightDtypes[random() % 5], 14, 40, tokens, begin, begin + rows}, random);
      if (HasFatalFailure()) return;
    }
}

TEST_P(GemvTest, MoreTokensThanABlock) {
  std::mt19937 random(23);
  for (const Dtype dtype : kWeightDtypes) {
    check({dtype, 9, 4096, 31, 1, 9}, random);
    check({dtype, 21, 9000, 13, 0, 21}, random);
    check({dtype, 13, 576, 200, 2, 13}, random);
    if (HasFatalFailure()) return;
  }
}

// What makes an answer independent of the batch that it is computed in.
TEST_P(GemvTest, ATokenHasTheSameBitsAloneAndAmongOthers) {
  std::mt19937 random(24);
  std::normal_distribution<float> normal;
  constexpr int kRows = 23, kTokens = 40;
  for (const Dtype dtype : kWeightDtypes)
    for (const int cols : {5, 16, 200, 576}) {
      std::vector<std::byte> weight(static_cast<std::size_t>(kRows * cols) * dtype_bytes(dtype));
      for (int i = 0; i < kRows * cols; ++i) reference::set_element(weight.data(), dtype, i, normal(random));
      std::vector<float> x(static_cast<std::size_t>(kTokens * cols));
      for (float& value : x) value = normal(random);
      const auto run = [&](int token, int count, int row_begin, int row_end) {
        std::vector<float> y(kTokens * kRows, kCanary);
        table().gemv({weight.data(), dtype, cols, row_begin, row_end, x.data() + token * cols, cols, y.data(),
                      kRows, count});
        return y;
      };
      const std::vector<float> together = run(0, kTokens, 0, kRows);
      for (int token = 0; token < kTokens; ++token) {
        const int count = std::min(1 + token % 15, kTokens - token), first = token % 5;
        const std::vector<float> alone = run(token, count, first, kRows);
        for (int r = first; r < kRows; ++r)
          ASSERT_EQ(alone[static_cast<std::size_t>(r)], together[static_cast<std::size_t>(token * kRows + r)])
              << dtype_name(dtype) << " cols " << cols << " token " << token << " of " << count << " row " << r;
      }
    }
}

TEST_P(GemvTest, NanInAWeightReachesItsRowAlone) {
  for (const Dtype dtype : kWeightDtypes) {
    std::vector<std::byte> weights(4 * 32 * dtype_bytes(dtype));  // zeros
    reference::set_element(weights.data(), dtype, 2 * 32 + 5, std::nanf(""));
    const std::vector<float> x(32, 1.0f);
    std::vector<float> y(4);
    table().gemv({.weight = weights.data(),
                  .weight_dtype = dtype,
                  .cols = 32,
                  .row_begin = 0,
                  .row_end = 4,
                  .x = x.data(),
                  .x_stride = 32,
                  .y = y.data(),
                  .y_stride = 4,
                  .num_tokens = 1});
    EXPECT_TRUE(std::isnan(y[2])) << dtype_name(dtype);
    EXPECT_EQ(y[1], 0.0f);
    EXPECT_EQ(y[3], 0.0f);
  }
}

TEST_P(GemvTest, ToBfloat16RoundsToNearestEven) {
  std::vector<float> x = {0.0f,     -0.0f,     1.0f,    1.00390625f,   1.01171875f, -1.00390625f,
                          INFINITY, -INFINITY, 3.4e38f, std::nanf(""), 1e-40f,      -65280.0f};
  std::mt19937 random(25);
  for (int i = 0; i < 10000; ++i) x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  std::vector<std::uint16_t> found(x.size()), expected(x.size());
  table().to_bfloat16(found.data(), x.data(), static_cast<std::int64_t>(x.size()));
  reference().to_bfloat16(expected.data(), x.data(), static_cast<std::int64_t>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(found[i], expected[i]) << x[i];
}

// bfloat16 by bfloat16, where a table has it: against gemv over the same numbers, and the same bits in any
// company.
TEST_P(GemvTest, Bfloat16ActivationsAreMultipliedAsFloatsAre) {
  if (table().gemv_bf16 == nullptr) GTEST_SKIP() << table().isa << " has no gemv_bf16";
  std::mt19937 random(26);
  std::normal_distribution<float> normal;
  constexpr int kRows = 23;
  for (const int cols : {1, 2, 31, 32, 33, 100, 576, 1536})
    for (int tokens = 1; tokens <= 15; ++tokens) {
      const auto bfloats = [&](int count) {
        std::vector<std::uint16_t> numbers(static_cast<std::size_t>(count));
        for (std::uint16_t& number : numbers) number = bfloat16::from_float(normal(random)).bits;
        return numbers;
      };
      const std::vector<std::uint16_t> weight = bfloats(kRows * cols), x = bfloats(tokens * (cols + 1));
      std::vector<float> values(x.size());
      reference().to_float(values.data(), x.data(), Dtype::bfloat16, static_cast<std::int64_t>(x.size()));
      const auto count = static_cast<std::size_t>(tokens * kRows);
      std::vector<float> y(count, kCanary), expected(count, kCanary), alone(kRows);
      const int begin = tokens % 3, end = kRows - tokens % 2;
      table().gemv_bf16({weight.data(), cols, begin, end, x.data(), cols + 1, y.data(), kRows, tokens});
      reference().gemv({weight.data(), Dtype::bfloat16, cols, begin, end, values.data(), cols + 1,
                        expected.data(), kRows, tokens});
      const float tolerance = 1e-6f * (4.0f + 4.0f * std::sqrt(static_cast<float>(cols)));
      for (std::size_t i = 0; i < count; ++i) ASSERT_NEAR(y[i], expected[i], tolerance) << cols << " at " << i;
      for (int token = 0; token < tokens; ++token) {
        table().gemv_bf16(
            {weight.data(), cols, begin, end, x.data() + token * (cols + 1), cols + 1, alone.data(), kRows, 1});
        for (int r = begin; r < end; ++r)
          ASSERT_EQ(alone[static_cast<std::size_t>(r)], y[static_cast<std::size_t>(token * kRows + r)]);
      }
    }
}

OCTET_INSTANTIATE_TABLES(GemvTest);

}  // namespace
}  // namespace octet::kernels
