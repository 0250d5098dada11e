#include "evaluate/summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace octet::evaluate {
namespace {

TEST(Summary, SpreadIsNumpys) {
  // numpy: x = [4, 1, 3, 2, 10]; mean 4, std(ddof=1) / sqrt(5), median 3, percentile 99: 9.76
  const Spread spread = spread_of({4, 1, 3, 2, 10});
  EXPECT_DOUBLE_EQ(spread.mean, 4);
  EXPECT_NEAR(spread.standard_error, std::sqrt(12.5 / 5), 1e-12);
  EXPECT_DOUBLE_EQ(spread.median, 3);
  EXPECT_NEAR(spread.p99, 9.76, 1e-12);
  EXPECT_DOUBLE_EQ(spread.largest, 10);
  EXPECT_DOUBLE_EQ(spread_of({2}).p99, 2);
  EXPECT_DOUBLE_EQ(spread_of({2}).standard_error, 0);
  EXPECT_DOUBLE_EQ(spread_of({}).mean, 0);
}

TEST(Summary, TokensWithoutATargetHaveADivergenceButNoLikelihood) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const std::vector<RowScore> rows = {{0.5, 2, true}, {0.1, 4, false}, {0.3, none, true}};
  const ScoreSummary summary = summarize(rows);
  EXPECT_EQ(summary.positions, 3);
  EXPECT_EQ(summary.predictions, 2);
  EXPECT_DOUBLE_EQ(summary.mean_nll, 3);
  EXPECT_NEAR(summary.kl.mean, 0.3, 1e-12);
  EXPECT_DOUBLE_EQ(summary.same_top, 2.0 / 3);
}

TEST(Summary, BucketsCoverEveryPositionOnce) {
  const std::vector<std::int32_t> positions = {0, 1, 2, 3, 4, 9, 0};
  std::vector<RowScore> rows;
  for (const double kl : {1., 2., 3., 4., 5., 6., 7.}) rows.push_back({kl, 0, true});
  const std::vector<PositionBucket> buckets = by_position(positions, rows, 4);  // 10 positions, 3 wide
  ASSERT_EQ(buckets.size(), 3u);                                                // none stands in 6 to 8
  EXPECT_EQ(buckets[0].count, 4);
  EXPECT_DOUBLE_EQ(buckets[0].mean_kl, (1 + 2 + 3 + 7) / 4.0);
  EXPECT_EQ(buckets[1].begin, 3);
  EXPECT_DOUBLE_EQ(buckets[1].mean_kl, 4.5);
  EXPECT_EQ(buckets[2].begin, 9);
  EXPECT_EQ(buckets[2].end, 10);
}

}  // namespace
}  // namespace octet::evaluate
