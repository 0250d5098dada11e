#include "llm/latency.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace octet::llm {

namespace {

LatencyHistogram with_bounds(std::vector<double> bounds) {
  LatencyHistogram histogram;
  histogram.counts.assign(bounds.size() + 1, 0);
  histogram.bounds = std::move(bounds);
  return histogram;
}

}  // namespace

LatencyHistogram first_token_histogram() {
  return with_bounds({0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
                      1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0});
}

LatencyHistogram inter_token_histogram() {
  return with_bounds({0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
                      20.0, 40.0, 80.0});
}

LatencyHistogram request_histogram() {
  return with_bounds({0.3,  0.5,  0.8,  1.0,  1.5,  2.0,   2.5,   5.0,   10.0,  15.0, 20.0,
                      30.0, 40.0, 50.0, 60.0, 120., 240.0, 480.0, 960.0, 1920., 7680.});
}

void observe(LatencyHistogram& histogram, double seconds) {
  const auto bound = std::lower_bound(histogram.bounds.begin(), histogram.bounds.end(), seconds);
  ++histogram.counts[static_cast<std::size_t>(bound - histogram.bounds.begin())];
  histogram.sum += seconds;
}

}  // namespace octet::llm
