#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "linear_problem.h"
#include "packed_block.h"
#include "tables.h"

namespace octet::kernels {
namespace {

class GemmTest : public TableTest {
 protected:
  // gemm gives the bits of gemv, which is tested against the reference, and writes nothing else.
  void check(const LinearProblem& p) {
    SCOPED_TRACE(p.description());
    LinearData data(p, random_);
    std::vector<float>& found = data.y;
    std::vector<float> expected = found;
    const std::vector<float> packed = packed_block(table(), data.x.data(), data.x_stride, p.num_tokens, p.cols);
    std::vector<float> scratch(table().gemm_scratch_floats(p.num_tokens, p.cols));
    table().gemm({data.weight, p.dtype, p.cols, p.row_begin, p.row_end, packed.data(), found.data(),
                  data.y_stride, p.num_tokens, scratch.data()});
    table().gemv({data.weight, p.dtype, p.cols, p.row_begin, p.row_end, data.x.data(), data.x_stride,
                  expected.data(), data.y_stride, p.num_tokens});
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], expected[i]) << "at " << i;
  }

  std::mt19937 random_{61};
};

TEST_P(GemmTest, EveryTypeAndColumnCount) {
  for (const Dtype dtype : kWeightDtypes)
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
      check({kWeightDtypes[random_() % 5], 40, 40, tokens, begin, begin + rows});
      if (HasFatalFailure()) return;
    }
}

// Columns of several chunks, the last one whole, shorter, and of a few columns.
TEST_P(GemmTest, MoreColumnsThanAChunk) {
  for (const Dtype dtype : kWeightDtypes)
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
