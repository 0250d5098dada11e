// Mistral: Llama whose layers all attend to a sliding window, in its first versions.
// Source: transformers 5.19 modeling_mistral.
#include "model/architecture.h"
#include "model/config_fields.h"
#include "model/decoder_layer.h"

namespace octet::model {

namespace {

ModelConfig read_mistral_config(const files::JsonValue& config) {
  constexpr int kWindowWhereAbsent = 4096;  // null says that there is none
  ModelConfig c = read_decoder(config, {});
  c.qkv_bias = c.o_bias = read_flag(config, "attention_bias");
  c.mlp_bias = read_flag(config, "mlp_bias");
  const int window = read_sliding_window(config, kWindowWhereAbsent);
  set_windows(config, c, window, std::vector<bool>(c.layers.size(), true));
  // transformers' Mistral takes no notice of layer_types, others do.
  for (std::size_t layer = 0; layer < c.layers.size(); ++layer)
    if (c.layers[layer].sliding_window != window) {
      const files::JsonValue type = config.at("layer_types").elements()[layer];
      refuse(type, type.dump() + " is not run here: all layers have sliding_attention");
    }
  return c;
}

}  // namespace

const Architecture& mistral_architecture() {
  static const Architecture architecture{
      {"MistralForCausalLM"}, read_mistral_config, load_pre_norm_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
