// Llama 2, Llama 3.x (rope scaling), SmolLM2: pre-norm, grouped-query attention, gated SiLU MLP.
// Source: transformers 5.19 modeling_llama.
#include "model/architecture.h"
#include "model/config_fields.h"
#include "model/decoder_layer.h"

namespace octet::model {

namespace {

ModelConfig read_llama_config(const files::JsonValue& config) {
  // Other families have it in their configs and take no notice.
  if (const auto slices = config.find("pretraining_tp"); slices && slices->as_int() > 1)
    refuse(*slices, slices->dump() + " is not run here; run is 1");
  ModelConfig c = read_decoder(config, {.kv_heads_as_query_heads = true});
  c.qkv_bias = c.o_bias = read_flag(config, "attention_bias");
  c.mlp_bias = read_flag(config, "mlp_bias");
  set_windows(config, c, read_sliding_window(config, 0), std::vector<bool>(c.layers.size(), true));
  return c;
}

}  // namespace

const Architecture& llama_architecture() {
  static const Architecture architecture{
      {"LlamaForCausalLM"}, read_llama_config, load_pre_norm_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
