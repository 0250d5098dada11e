#include "calibrate/layer_ranges.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <string>

#include "base/error.h"
#include "numeric/fp8.h"

namespace octet::calibrate {

namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffffu;

// What model::examine_kv_scales takes, times 448.
constexpr float kLeastRange = 0x1p-40f * fp8_e4m3::max;
constexpr float kMostRange = 0x1p40f * fp8_e4m3::max;

std::string number_text(float value) {
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

void check(const std::vector<float>& ranges, std::size_t layer, const char* which) {
  for (std::size_t head = 0; head < ranges.size(); ++head) {
    const bool positive = std::isfinite(ranges[head]) && ranges[head] > 0;
    if (positive && ranges[head] >= kLeastRange && ranges[head] <= kMostRange) continue;
    throw Error(
        ErrorCode::invalid_argument,
        (positive ? "expected a number whose 448th part is from 2^-40 to 2^40, as readers of scales do, found "
                  : "expected a positive finite number, found ") +
            number_text(ranges[head]),
        "layer " + std::to_string(layer) + ": the largest |" + which + "| of head " + std::to_string(head));
  }
}

std::vector<float> to_scales(std::vector<float> ranges, kv::ScaleStrategy strategy, std::size_t layer,
                             const char* which) {
  if (strategy == kv::ScaleStrategy::tensor && !ranges.empty()) {
    // A head that is zero throughout has no scale of its own, but the layer's serves it. NaN must not be lost
    // in a comparison, so the bits are compared, in which it is the largest.
    std::uint32_t most = 0;
    for (const float range : ranges) most = std::max(most, std::bit_cast<std::uint32_t>(range) & kMagnitude);
    ranges.assign(ranges.size(), std::bit_cast<float>(most));
  }
  check(ranges, layer, which);
  for (float& range : ranges) range /= fp8_e4m3::max;
  return ranges;
}

}  // namespace

kv::LayerScales layer_scales(const LayerRanges& ranges, int layer, kv::ScaleStrategy strategy,
                             Targets targets) {
  const auto index = static_cast<std::size_t>(layer);
  kv::LayerScales scales;
  scales.k = to_scales(ranges.k, strategy, index, "k");
  scales.v = to_scales(ranges.v, strategy, index, "v");
  if (targets.q) scales.q = to_scales(ranges.q, strategy, index, "q");
  return scales;
}

kv::KvScales scales_from_ranges(const std::vector<LayerRanges>& layers, kv::ScaleStrategy strategy,
                                Targets targets) {
  kv::KvScales scales;
  scales.strategy = strategy;
  for (std::size_t layer = 0; layer < layers.size(); ++layer)
    scales.layers.push_back(layer_scales(layers[layer], static_cast<int>(layer), strategy, targets));
  return scales;
}

void widen(std::span<float> ranges, const model::HeadRows& rows) {
  for (int head = 0; head < rows.num_heads; ++head) {
    // As integers, magnitudes have the order of the floats, and NaN is above all: the loop needs no test for
    // it.
    std::uint32_t most = std::bit_cast<std::uint32_t>(ranges[static_cast<std::size_t>(head)]);
    for (int token = 0; token < rows.num_tokens; ++token) {
      const float* row = rows.data + token * rows.stride + static_cast<std::int64_t>(head) * rows.head_dim;
      for (int i = 0; i < rows.head_dim; ++i)
        most = std::max(most, std::bit_cast<std::uint32_t>(row[i]) & kMagnitude);
    }
    ranges[static_cast<std::size_t>(head)] = std::bit_cast<float>(most);
  }
}

}  // namespace octet::calibrate
