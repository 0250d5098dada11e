// Gemma-3, text alone: Gemma-2 with norms on every head of q and k in place of the cap on scores, five layers
// with a window to one without, and a rotary base of their own for those with one. Source: transformers 5.19
// modeling_gemma3.
#include "model/architecture.h"
#include "model/decoder_layer.h"
#include "model/gemma.h"

namespace octet::model {

namespace {

using files::JsonValue;

constexpr double kGlobalTheta = 1e6, kLocalTheta = 1e4;
constexpr int kLocalRope = 1;  // in ModelConfig::ropes

// Every so many layers, one has no window.
int read_pattern(const JsonValue& config) {
  const auto pattern = find_either(config, "sliding_window_pattern", "_sliding_window_pattern");
  return pattern ? static_cast<int>(pattern->as_int(1, kMostPositions)) : 6;
}

// rope_parameters has a member for each layer type; before transformers 5, rope_theta and rope_scaling were for
// the layers without a window and rope_local_base_freq for those with one.
std::vector<RopeConfig> read_gemma3_ropes(const JsonValue& config, int head_dim) {
  const auto by_type = config.find("rope_parameters");
  if (by_type)
    for (const std::string& key : by_type->keys())
      if (key != "full_attention" && key != "sliding_attention")
        refuse(by_type->at(key), "is not known here; known are full_attention, sliding_attention");
  const auto global = by_type ? by_type->find("full_attention") : config.find("rope_scaling");
  const auto local = by_type ? by_type->find("sliding_attention") : std::nullopt;
  return {read_rope(config, global, "rope_theta", kGlobalTheta, head_dim),
          read_rope(config, local, "rope_local_base_freq", kLocalTheta, head_dim)};
}

ModelConfig read_gemma3_config(const JsonValue& config) {
  constexpr int kWindowWhereAbsent = 4096;
  ModelConfig c = read_gemma(config, {.per_layer_type_rope = true});
  // transformers reads it and caps nothing.
  if (const auto cap = config.find("attn_logit_softcapping"))
    refuse(*cap, cap->dump() + " is not run here; run is null");
  c.final_logit_softcap = read_softcap(config, "final_logit_softcapping", 0.0);
  c.qk_norm = true;
  const auto pattern = static_cast<std::size_t>(read_pattern(config));
  std::vector<bool> windowed;
  for (std::size_t layer = 0; layer < c.layers.size(); ++layer) windowed.push_back((layer + 1) % pattern != 0);
  set_windows(config, c, read_sliding_window(config, kWindowWhereAbsent), windowed);
  c.ropes = read_gemma3_ropes(config, c.head_dim);
  for (LayerConfig& layer : c.layers) layer.rope = layer.sliding_window > 0 ? kLocalRope : 0;
  return c;
}

}  // namespace

const Architecture& gemma3_architecture() {
  static const Architecture architecture{
      {"Gemma3ForCausalLM"}, read_gemma3_config, load_gemma_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
