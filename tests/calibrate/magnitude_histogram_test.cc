#include "calibrate/magnitude_histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "numeric/fp8.h"

namespace octet::tests {
namespace {

using namespace calibrate;

struct Sample {
  std::vector<float> magnitudes;  // sorted
  std::vector<std::uint64_t> counts = std::vector<std::uint64_t>(kBins);
  float largest() const { return magnitudes.back(); }
};

Sample normal_sample(int size, float outlier) {
  std::mt19937_64 generator(7);
  std::normal_distribution<float> normal;
  Sample sample;
  for (int i = 0; i < size; ++i) sample.magnitudes.push_back(std::abs(normal(generator)));
  if (outlier > 0) sample.magnitudes.push_back(outlier);
  for (const float value : sample.magnitudes) ++sample.counts[bin_of(value)];
  std::sort(sample.magnitudes.begin(), sample.magnitudes.end());
  return sample;
}

double error_of(const Sample& sample, float clip) {
  double sum = 0;
  for (const float value : sample.magnitudes) {
    const float scale = clip / 448;
    const double error = static_cast<double>(fp8_e4m3::from_float(value / scale).to_float() * scale) - value;
    sum += error * error;
  }
  return sum;
}

TEST(MagnitudeHistogram, BinsHoldWhatTheirEdgesSay) {
  for (std::size_t bin = 1; bin < kBins; ++bin) {
    EXPECT_EQ(bin_of(bin_edge(bin)), bin);
    EXPECT_EQ(bin_of(-std::nextafter(bin_edge(bin), 0.0f)), bin - 1);
  }
  EXPECT_EQ(bin_of(0.0f), 0u);
  EXPECT_EQ(bin_of(1e-30f), 0u);
  EXPECT_EQ(bin_of(1e30f), kBins - 1);
  EXPECT_NEAR(bin_edge(bin_of(1.0f) + kBinsPerOctave), 2.0f, 0);
}

TEST(MagnitudeHistogram, PercentilesAreThoseOfTheValues) {
  const Sample sample = normal_sample(200000, 50);
  for (const double percent : {1.0, 50.0, 90.0, 99.0, 99.9, 99.99}) {
    const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * 200001)) - 1;
    EXPECT_NEAR(percentile_of(sample.counts, sample.largest(), percent), sample.magnitudes[rank],
                0.008 * sample.magnitudes[rank] + 1e-6)
        << percent;
  }
  EXPECT_EQ(percentile_of(sample.counts, sample.largest(), 100), 50.0f);
  // Everything in one bin: never more than the largest.
  std::vector<std::uint64_t> one(kBins);
  one[bin_of(3.0f)] = 5;
  EXPECT_LE(percentile_of(one, 3.001f, 99.99), 3.001f);
  // All zeros but few: the percentile is (all but) zero.
  std::vector<std::uint64_t> zeros(kBins);
  zeros[0] = 1000000;
  zeros[bin_of(2.0f)] = 1;
  EXPECT_LT(percentile_of(zeros, 2.0f, 99.99), 1e-8f);
}

TEST(MagnitudeHistogram, NoClipHasMarkedlyLessErrorThanTheOneFound) {
  for (const float outlier : {0.0f, 30.0f, 300.0f, 30000.0f}) {
    const Sample sample = normal_sample(20000, outlier);
    const float clip = least_error_clip(sample.counts, sample.largest());
    double least = 1e300;
    for (int i = -400; i <= 100; ++i)
      least = std::min(least, error_of(sample, sample.largest() * std::exp2(static_cast<float>(i) / 100)));
    EXPECT_LE(error_of(sample, clip), 1.03 * least) << outlier;
    EXPECT_LE(error_of(sample, clip), error_of(sample, sample.largest())) << outlier;
    EXPECT_GE(clip, sample.largest() / 16);
    EXPECT_LE(clip, sample.largest() * 2.2f);
  }
}

TEST(MagnitudeHistogram, ValuesThatAreStoredExactlyNeedNoOtherClip) {
  std::vector<std::uint64_t> counts(kBins);
  // One magnitude only: it is stored without error where it is the clip itself.
  counts[bin_of(5.0f)] = 100;
  const float clip = least_error_clip(counts, 5.0f);
  EXPECT_EQ(fp8_e4m3::from_float(5.0f / (clip / 448)).to_float() * (clip / 448), 5.0f);
}

}  // namespace
}  // namespace octet::tests
