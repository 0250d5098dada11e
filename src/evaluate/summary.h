// Turning scores a position into the figures that a person compares.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluate/reference_rows.h"

namespace octet::evaluate {

struct Spread {
  double mean = 0;
  double standard_error = 0;  // of the mean, taking the values as independent
  double median = 0;
  double p99 = 0;
  double largest = 0;
};

// Percentiles are linear between the two nearest values, as numpy's default. All zeros where there are none.
Spread spread_of(std::vector<double> values);

struct ScoreSummary {
  std::int64_t positions = 0;    // with a KL
  std::int64_t predictions = 0;  // with a target
  double mean_nll = 0;           // nats a token
  Spread kl;
  double same_top = 0;  // share of the positions
};
ScoreSummary summarize(std::span<const RowScore> scores);

// Mean KL of the positions [begin, end) in the window.
struct PositionBucket {
  int begin;
  int end;
  std::int64_t count;
  double mean_kl;
};
// At most `most` buckets of equal width over the positions that occur; empty ones are left out.
std::vector<PositionBucket> by_position(std::span<const std::int32_t> positions,
                                        std::span<const RowScore> scores, int most);

}  // namespace octet::evaluate
