#include "calibrate/magnitude_histogram.h"

#include <cmath>
#include <limits>
#include <vector>

#include "numeric/fp8.h"

namespace octet::calibrate {

namespace {

// A bin that is not empty.
struct Weighted {
  float value;
  double count;
};

float bin_end(std::size_t bin, float largest) {
  return bin + 1 < kBins ? std::min(bin_edge(bin + 1), largest) : largest;
}

double squared_error(const std::vector<Weighted>& values, float clip) {
  const float scale = clip / fp8_e4m3::max;
  double sum = 0;
  for (const Weighted& weighted : values) {
    const double error = static_cast<double>(fp8_e4m3::from_float(weighted.value / scale).to_float() * scale) -
                         static_cast<double>(weighted.value);
    sum += weighted.count * error * error;
  }
  return sum;
}

}  // namespace

float bin_edge(std::size_t bin) {
  if (bin == 0) return 0;
  const auto upper = static_cast<std::uint32_t>(bin) + (static_cast<std::uint32_t>(127 + kLeastExponent) << 7);
  return std::bit_cast<float>(upper << 16);
}

float percentile_of(std::span<const std::uint64_t> counts, float largest, double percent) {
  double total = 0;
  for (const std::uint64_t count : counts) total += static_cast<double>(count);
  const double wanted = total * percent / 100;
  double below = 0;
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    const auto count = static_cast<double>(counts[bin]);
    if (count == 0 || below + count < wanted) {
      below += count;
      continue;
    }
    if (percent >= 100) break;
    const double begin = static_cast<double>(std::min(bin_edge(bin), largest));
    const double end = static_cast<double>(bin_end(bin, largest));
    return static_cast<float>(begin + (end - begin) * (wanted - below) / count);
  }
  return largest;
}

float least_error_clip(std::span<const std::uint64_t> counts, float largest) {
  std::vector<Weighted> values;
  for (std::size_t bin = 1; bin < counts.size(); ++bin)
    if (counts[bin] > 0)
      values.push_back(
          {(std::min(bin_edge(bin), largest) + bin_end(bin, largest)) / 2, static_cast<double>(counts[bin])});
  // The largest is often alone and far from the others, and then its own rounding error is most of the sum.
  if (!values.empty()) values.back().value = largest;
  float best = largest;
  double least = squared_error(values, largest);
  const auto attempt = [&](float clip) {
    const double error = squared_error(values, clip);
    if (error >= least) return;
    least = error;
    best = clip;
  };
  // Coarse over five octaves, then fine around the best.
  for (int step = 32; step >= -128; --step) attempt(largest * std::exp2(static_cast<float>(step) / 32));
  const float middle = best;
  for (int fine = -4; fine <= 4; ++fine) attempt(middle * std::exp2(static_cast<float>(fine) / 128));
  return best;
}

}  // namespace octet::calibrate
