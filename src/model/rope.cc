#include "model/rope.h"

#include <algorithm>
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

// YaRN: dimensions that turn more than beta_fast times in the original context are kept, those that turn less
// than beta_slow times divided by `factor`, those between blended.
struct YarnRamp {
  double low, high;  // indices of pairs

  explicit YarnRamp(const RopeConfig& rope) {
    const auto pair_that_turns = [&](double turns) {
      return rope.rotary_dim *
             std::log(rope.original_max_position_embeddings / (turns * 2.0 * std::numbers::pi)) /
             (2.0 * std::log(rope.theta));
    };
    low = pair_that_turns(rope.beta_fast);
    high = pair_that_turns(rope.beta_slow);
    if (rope.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, rope.rotary_dim - 1.0);
    if (low == high) high += 0.001;
  }

  float stretch(const RopeConfig& rope, float frequency, std::size_t pair) const {
    const double stretched = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
    return static_cast<float>(frequency / rope.factor * stretched + frequency * (1.0 - stretched));
  }
};

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& rope, int max_model_len) {
  RopeFrequencies result;
  std::vector<float>& frequencies = result.inverse_frequencies;
  frequencies.resize(static_cast<std::size_t>(rope.rotary_dim / 2));
  const YarnRamp ramp(rope);
  const std::vector<double>& factors =
      max_model_len > rope.original_max_position_embeddings ? rope.long_factor : rope.short_factor;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto exponent = 2.0 * static_cast<double>(i) / rope.rotary_dim;
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
      case RopeConfig::Type::yarn:
        frequencies[i] = ramp.stretch(rope, frequency, i);
        break;
      case RopeConfig::Type::longrope:
        frequencies[i] = static_cast<float>(frequency / factors[i]);
        break;
    }
  }
  result.scale = static_cast<float>(rope.attention_factor);
  return result;
}

}  // namespace octet::model
