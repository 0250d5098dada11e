#include "evaluate/summary.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace octet::evaluate {

namespace {

double percentile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  Spread spread;
  if (values.empty()) return spread;
  const auto count = static_cast<double>(values.size());
  for (const double value : values) spread.mean += value / count;
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  if (values.size() > 1) spread.standard_error = std::sqrt(squares / (count - 1) / count);
  std::sort(values.begin(), values.end());
  spread.median = percentile(values, 0.5);
  spread.p99 = percentile(values, 0.99);
  spread.largest = values.back();
  return spread;
}

ScoreSummary summarize(std::span<const RowScore> scores) {
  ScoreSummary summary;
  std::vector<double> divergences;
  std::int64_t same = 0;
  for (const RowScore& score : scores) {
    divergences.push_back(score.kl);
    same += score.same_top ? 1 : 0;
    if (std::isnan(score.nll)) continue;
    summary.mean_nll += score.nll;
    ++summary.predictions;
  }
  summary.positions = static_cast<std::int64_t>(scores.size());
  if (summary.predictions > 0) summary.mean_nll /= static_cast<double>(summary.predictions);
  if (summary.positions > 0) summary.same_top = static_cast<double>(same) / static_cast<double>(scores.size());
  summary.kl = spread_of(std::move(divergences));
  return summary;
}

std::vector<PositionBucket> by_position(std::span<const std::int32_t> positions,
                                        std::span<const RowScore> scores, int most) {
  std::vector<PositionBucket> buckets;
  if (positions.empty()) return buckets;
  const int length = *std::max_element(positions.begin(), positions.end()) + 1;
  const int width = (length + most - 1) / most;
  for (int begin = 0; begin < length; begin += width)
    buckets.push_back({begin, std::min(begin + width, length), 0, 0});
  for (std::size_t i = 0; i < positions.size(); ++i) {
    PositionBucket& bucket = buckets[static_cast<std::size_t>(positions[i] / width)];
    ++bucket.count;
    bucket.mean_kl += scores[i].kl;
  }
  std::erase_if(buckets, [](const PositionBucket& bucket) { return bucket.count == 0; });
  for (PositionBucket& bucket : buckets) bucket.mean_kl /= static_cast<double>(bucket.count);
  return buckets;
}

}  // namespace octet::evaluate
