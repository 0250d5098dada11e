#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "kernels/reference.h"
#include "packed_block.h"
#include "tables.h"

namespace octet::kernels {
namespace {

constexpr Dtype kDtypes[] = {Dtype::float32, Dtype::float16, Dtype::bfloat16, Dtype::fp8_e4m3, Dtype::fp8_e5m2};

struct Problem {
  Dtype dtype;
  int rows, cols, num_tokens, row_begin, row_end;
};

class GemmTest : public TableTest {
 protected:
  // gemm gives the bits of gemv, which is tested against the reference, and writes nothing else.
  void check(const Problem& p) {
    SCOPED_TRACE(testing::Message() << dtype_name(p.dtype) << " cols " << p.cols << " tokens " << p.num_tokens
                                    << " rows [" << p.row_begin << ", " << p.row_end << ")");
    std::normal_distribution<float> normal;
    const std::size_t count = static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.cols);
    // Weights as they may lie in a file: off by two bytes (one for FP8), nothing readable after them.
    const std::size_t offset = is_fp8(p.dtype) ? 1 : 2;
    std::vector<std::byte> weights(offset + count * dtype_bytes(p.dtype));
    for (std::size_t i = 0; i < count; ++i)
      reference::set_element(weights.data() + offset, p.dtype, static_cast<std::int64_t>(i), normal(random_));
    const int x_stride = p.cols + 3, y_stride = p.rows + 5;
    std::vector<float> x(static_cast<std::size_t>(p.num_tokens * x_stride));
    for (float& value : x) value = normal(random_);
    std::vector<float> found(static_cast<std::size_t>(p.num_tokens * y_stride), 12345.0f), expected = found;
    const std::vector<float> packed = packed_block(table(), x.data(), x_stride, p.num_tokens, p.cols);
    std::vector<float> scratch(table().gemm_scratch_floats(p.num_tokens, p.cols));
    table().gemm({weights.data() + offset, p.dtype, p.cols, p.row_begin, p.row_end, packed.data(), found.data(),
                  y_stride, p.num_tokens, scratch.data()});
    table().gemv({weights.data() + offset, p.dtype, p.cols, p.row_begin, p.row_end, x.data(), x_stride,
                  expected.data(), y_stride, p.num_tokens});
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], expected[i]) << "at " << i;
  }

  std::mt19937 random_{61};
};

TEST_P(GemmTest, EveryTypeAndColumnCount) {
  for (const Dtype dtype : kDtypes)
    for (const int cols : {1, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 100, 127, 128, 576}) {
      check({dtype, 16, cols, 7, 0, 16});
      check({dtype, 37, cols, 6, 2, 36});
      if (HasFatalFailure()) return;
    }
}

TEST_P(GemmTest, EveryNumberOfTokensAndRows) {
  for (int tokens = 0; tokens <= 20; ++tokens)
    for (int rows = 0; rows <= 34; rows += 1 + rows % 3) {
      const int begin = static_cast<int>(random_() % 4);
      check({kDtypes[random_() % 5], 40, 40, tokens, begin, begin + rows});
      if (HasFatalFailure()) return;
    }
}

// Columns of several chunks, the last one whole, shorter, and of a few columns.
TEST_P(GemmTest, MoreColumnsThanAChunk) {
  for (const Dtype dtype : kDtypes)
    for (const int cols : {2047, 2048, 2049, 2057, 4096, 6151, 9000}) {
      check({dtype, 19, cols, 8, 0, 19});
      if (HasFatalFailure()) return;
    }
}

TEST_P(GemmTest, AWholeBlockOfTokens) {
  check({Dtype::bfloat16, 33, 576, kGemmMostTokens, 0, 33});
  check({Dtype::bfloat16, 17, 2200, kGemmMostTokens, 0, 17});
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GemmTest);
INSTANTIATE_TEST_SUITE_P(
    Tables, GemmTest,
    testing::ValuesIn(tables_with("", [](KernelTable& table) { return table.gemm != nullptr; })),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace octet::kernels
