#include "kernels/hadamard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace octet::kernels {
namespace {

// Entry (i, j) of the orthonormal Hadamard matrix of order `size`.
double entry(unsigned i, unsigned j, int size) {
  return (std::popcount(i & j) % 2 == 0 ? 1.0 : -1.0) / std::sqrt(static_cast<double>(size));
}

TEST(Hadamard, IsTheMatrixOnEveryRun) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const int head_dim : {1, 6, 16, 64, 80, 96, 112, 128, 256}) {
    const int size = head_dim & -head_dim;
    std::vector<float> x(static_cast<std::size_t>(3 * head_dim));
    for (float& value : x) value = normal(random);
    std::vector<float> turned = x;
    hadamard(turned.data(), 3, head_dim);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t run = i / static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
      double expected = 0;
      for (std::size_t j = 0; j < static_cast<std::size_t>(size); ++j)
        expected += entry(static_cast<unsigned>(i - run), static_cast<unsigned>(j), size) *
                    static_cast<double>(x[run + j]);
      EXPECT_NEAR(turned[i], expected, 2e-6) << head_dim;
    }
    hadamard(turned.data(), 3, head_dim);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(turned[i], x[i], 2e-6);
  }
}

TEST(Hadamard, SpreadsOneLargeNumberOverAllDims) {
  std::vector<float> x(64, 0.0f);
  x[17] = 80.0f;
  hadamard(x.data(), 1, 64);
  for (const float value : x) EXPECT_EQ(std::fabs(value), 10.0f);
}

}  // namespace
}  // namespace octet::kernels
