// A histogram of magnitudes in logarithmic bins: fine enough to find a percentile, or the clip with the least
// error, of values that were never kept.
//
// A bin is one part in 128 of an octave, the width of a sixteenth of E4M3's step: rounding error is all but
// constant within it. Zeros and what is below 2^-28 share bin 0; what is 2^20 or more shares the last.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace octet::calibrate {

inline constexpr int kBinsPerOctave = 128;
inline constexpr int kLeastExponent = -28;
inline constexpr int kOctaves = 48;
inline constexpr std::size_t kBins = kBinsPerOctave * kOctaves;

// The bin of |value|.
inline std::size_t bin_of(float value) {
  // The seven upper bits of the fraction follow the exponent, so the bin is the number that both form.
  const auto upper = static_cast<int>((std::bit_cast<std::uint32_t>(value) & 0x7fffffffu) >> 16);
  const int bin = upper - ((127 + kLeastExponent) << 7);
  return static_cast<std::size_t>(std::clamp(bin, 0, static_cast<int>(kBins) - 1));
}

// The least magnitude of a bin; 0 for the first.
float bin_edge(std::size_t bin);

// The magnitude that `percent` of the values do not exceed, interpolated within its bin, at most `largest`.
// counts [kBins] with at least one value; percent in (0, 100]; 100 gives `largest` itself.
float percentile_of(std::span<const std::uint64_t> counts, float largest, double percent);

// The clip c for which storing every value as E4M3 with the scale c / 448 has the least squared error in all:
// searched from a sixteenth of `largest` to its double, since a clip above the largest value saturates nothing
// and may put the rounding steps at better places. counts [kBins], largest positive and finite.
float least_error_clip(std::span<const std::uint64_t> counts, float largest);

}  // namespace octet::calibrate
