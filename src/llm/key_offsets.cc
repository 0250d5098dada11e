#include "llm/key_offsets.h"

#include <cmath>
#include <cstdio>

#include "calibrate/bound.h"

namespace octet::llm {

namespace {

// How far neighbours are apart around `magnitude`; 0 for a dtype that is not FP8.
double step_at(KvDtype dtype, double magnitude) {
  const KvDtype code = code_dtype(dtype);
  if (!is_fp8(code)) return 0;
  const int mantissa_bits = code == KvDtype::fp8_e4m3 ? 3 : 2;
  return std::ldexp(1.0, std::ilogb(magnitude) - mantissa_bits);
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

}  // namespace

std::string describe_key_offsets(const model::ModelConfig& config, const model::Weights& weights,
                                 const kv::KvLayout& layout) {
  int layers = 0;
  std::string worst;
  double worst_ratio = 0;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const KvDtype dtype = layout.layers[static_cast<std::size_t>(layer)].k;
    if (!is_fp8(code_dtype(dtype))) continue;
    const auto found = calibrate::largest_key_offset(config, weights, layer);
    if (!found || !(found->offset > 0)) continue;
    const double step = step_at(dtype, static_cast<double>(found->offset)), spread = found->spread;
    if (step <= spread) continue;
    ++layers;
    if (step <= worst_ratio * spread) continue;
    worst_ratio = step / spread;
    worst = "layer " + std::to_string(layer) + " adds " + short_number(static_cast<double>(found->offset)) +
            " to a key's channel that varies by " + short_number(spread) + ", where " +
            std::string(dtype_name(dtype)) + " has steps of " + short_number(step);
  }
  if (layers == 0) return {};
  return "biases of keys in " + std::to_string(layers) + " of " + std::to_string(config.num_layers) +
         " layers are too large for FP8, whatever its scales: " + worst +
         "; int8_hadamard_per_token_head holds them";
}

}  // namespace octet::llm
