#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"

// The OpenMP runtime that oneDNN uses.
extern "C" int omp_get_max_threads(void);
extern "C" void omp_set_num_threads(int);

namespace octet::kernels {
namespace {

constexpr float kUntouched = std::numeric_limits<float>::quiet_NaN();

struct Shape {
  int rows_a, rows_b, depth;
  int a_padding = 0, b_padding = 0, c_padding = 0;
};

struct Problem {
  Shape shape;
  std::vector<float> a, b, c;

  explicit Problem(const Shape& s, unsigned seed = 1) : shape(s) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    a.resize(static_cast<std::size_t>(s.rows_a) * static_cast<std::size_t>(s.depth + s.a_padding));
    b.resize(static_cast<std::size_t>(s.rows_b) * static_cast<std::size_t>(s.depth + s.b_padding));
    // NaN shows every element of c that is not written, or that is added to.
    c.assign(static_cast<std::size_t>(s.rows_a) * static_cast<std::size_t>(s.rows_b + s.c_padding), kUntouched);
    for (float& x : a) x = normal(random);
    for (float& x : b) x = normal(random);
  }

  bool run() {
    return sgemm_nt(shape.rows_a, shape.rows_b, shape.depth, a.data(), shape.depth + shape.a_padding, b.data(),
                    shape.depth + shape.b_padding, c.data(), shape.rows_b + shape.c_padding);
  }

  // The largest difference from plain loops in double, as a share of sum |a| |b|; infinite where an element
  // of padding was touched.
  double worst_error() const {
    double worst = 0;
    const std::size_t a_stride = static_cast<std::size_t>(shape.depth + shape.a_padding);
    const std::size_t b_stride = static_cast<std::size_t>(shape.depth + shape.b_padding);
    const std::size_t c_stride = static_cast<std::size_t>(shape.rows_b + shape.c_padding);
    for (std::size_t m = 0; m < static_cast<std::size_t>(shape.rows_a); ++m) {
      for (std::size_t n = 0; n < c_stride; ++n) {
        const float found = c[m * c_stride + n];
        if (n >= static_cast<std::size_t>(shape.rows_b)) {
          if (!std::isnan(found)) return std::numeric_limits<double>::infinity();
          continue;
        }
        double sum = 0, size = 1e-30;
        for (std::size_t k = 0; k < static_cast<std::size_t>(shape.depth); ++k) {
          const double product =
              static_cast<double>(a[m * a_stride + k]) * static_cast<double>(b[n * b_stride + k]);
          sum += product;
          size += std::abs(product);
        }
        const double error = std::abs(sum - static_cast<double>(found)) / size;
        if (!(error <= worst)) worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
      }
    }
    return worst;
  }
};

// Rounding errors of a float32 sum grow no faster than depth * 2^-24, and in practice far slower.
constexpr double kTolerance = 2e-6;

TEST(SgemmNt, EqualsPlainLoops) {
  for (const Shape& shape :
       {Shape{1, 1, 1}, Shape{1, 64, 576}, Shape{2, 3, 5}, Shape{7, 16, 8}, Shape{16, 7, 31}, Shape{17, 33, 65},
        Shape{48, 96, 64}, Shape{130, 65, 257}, Shape{128, 64, 576}}) {
    Problem problem(shape);
    ASSERT_TRUE(problem.run());
    EXPECT_LT(problem.worst_error(), kTolerance) << shape.rows_a << " " << shape.rows_b << " " << shape.depth;
  }
}

TEST(SgemmNt, StridesSkipAndKeepPadding) {
  for (const Shape& shape : {Shape{5, 6, 7, 3, 0, 0}, Shape{5, 6, 7, 0, 2, 0}, Shape{5, 6, 7, 0, 0, 9},
                             Shape{33, 64, 576, 8, 16, 448}, Shape{64, 32, 100, 1, 1, 1}}) {
    Problem problem(shape);
    ASSERT_TRUE(problem.run());
    EXPECT_LT(problem.worst_error(), kTolerance);
  }
}

TEST(SgemmNt, NothingToDoIsNotAnError) {
  Problem no_rows({0, 8, 16});
  EXPECT_TRUE(no_rows.run());
  Problem no_panel({8, 0, 16, 0, 0, 4});
  EXPECT_TRUE(no_panel.run());
  EXPECT_EQ(no_panel.worst_error(), 0.0);
}

TEST(SgemmNt, RefusesAStrideShorterThanARow) {
  const std::vector<float> a(64, 1.0f), b(64, 1.0f);
  std::vector<float> c(64);
  EXPECT_FALSE(sgemm_nt(4, 4, 8, a.data(), 4, b.data(), 8, c.data(), 4));
}

int threads_of_this_process() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Threads:")) return std::stoi(line.substr(8));
  return -1;
}

// All threads of a pool at once: every result is right, the same bits each time, and OpenMP has started no
// threads of its own behind the pool's back.
TEST(SgemmNt, ManyThreadsAtOnceAndNoneMore) {
  constexpr int kThreads = 8;
  ThreadPool pool(kThreads);
  const int before = threads_of_this_process();
  ASSERT_GE(before, kThreads);
  std::vector<Problem> problems;
  for (unsigned i = 0; i < 16; ++i) problems.emplace_back(Shape{40, 64, 192}, i);
  std::atomic<int> refused{0}, most_threads{0};
  std::vector<std::vector<float>> first;
  for (int round = 0; round < 20; ++round) {
    pool.run(problems.size(), [&](std::size_t i, int) {
      std::fill(problems[i].c.begin(), problems[i].c.end(), kUntouched);
      if (!problems[i].run()) refused.fetch_add(1);
      if (i == 0) most_threads = std::max(most_threads.load(), threads_of_this_process());
    });
    if (first.empty())
      for (const Problem& problem : problems) first.push_back(problem.c);
    for (std::size_t i = 0; i < problems.size(); ++i) ASSERT_EQ(problems[i].c, first[i]) << round << " " << i;
  }
  for (const Problem& problem : problems) EXPECT_LT(problem.worst_error(), kTolerance);
  EXPECT_EQ(refused.load(), 0);
  EXPECT_EQ(most_threads.load(), before);
  EXPECT_EQ(threads_of_this_process(), before);
}

// A program that embeds Octet may use OpenMP itself: its setting must be as it was.
TEST(SgemmNt, LeavesTheCallersOpenMpSettingAlone) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  Problem problem({96, 96, 96});
  ASSERT_TRUE(problem.run());
  EXPECT_EQ(omp_get_max_threads(), 3);
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace octet::kernels
