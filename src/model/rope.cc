#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace octet::model {

namespace {

// Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between blended.
float stretch_llama3(const RopeConfig& rope, float frequency) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double original = rope.original_max_position_embeddings;
  if (wavelength > original / rope.low_freq_factor) return static_cast<float>(frequency / rope.factor);
  if (wavelength < original / rope.high_freq_factor) return frequency;
  const double smooth =
      (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return static_cast<float>((1.0 - smooth) * frequency / rope.factor + smooth * frequency);
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeConfig& rope, int head_dim) {
  std::vector<float> frequencies(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto exponent = 2.0 * static_cast<double>(i) / head_dim;
    const auto frequency = static_cast<float>(1.0 / std::pow(rope.theta, exponent));
    switch (rope.type) {
      case RopeConfig::Type::default_:
        frequencies[i] = frequency;
        break;
      case RopeConfig::Type::linear:
        frequencies[i] = static_cast<float>(frequency / rope.factor);
        break;
      case RopeConfig::Type::llama3:
        frequencies[i] = stretch_llama3(rope, frequency);
        break;
    }
  }
  return frequencies;
}

}  // namespace octet::model
