// Qwen2 and Qwen2.5: Llama with biases on q, k and v (and on nothing else); windows in the layers from
// max_window_layers on, where use_sliding_window asks for them.
// Source: transformers 5.19 modeling_qwen2.
#include <algorithm>

#include "model/architecture.h"
#include "model/decoder_layer.h"
#include "model/qwen.h"

namespace octet::model {

namespace {

ModelConfig read_qwen2_config(const files::JsonValue& config) {
  ModelConfig c = read_decoder(config, {});
  c.qkv_bias = true;
  set_qwen_windows(config, c);
  return c;
}

}  // namespace

void set_qwen_windows(const files::JsonValue& config, ModelConfig& c) {
  constexpr int kWindowWhereAbsent = 4096, kFirstWhereAbsent = 28;
  const int first =
      config.find("max_window_layers") ? read_int(config, "max_window_layers", 0, 1 << 20) : kFirstWhereAbsent;
  std::vector<bool> windowed(c.layers.size(), true);
  std::fill_n(windowed.begin(), std::min(windowed.size(), static_cast<std::size_t>(first)), false);
  set_windows(config, c, read_sliding_window(config, kWindowWhereAbsent, false), windowed);
}

const Architecture& qwen2_architecture() {
  static const Architecture architecture{
      {"Qwen2ForCausalLM"}, read_qwen2_config, load_pre_norm_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
