// Qwen3: Llama with a norm on every head of q and k before they turn, and head_dim 128 where it is not stated.
// Source: transformers 5.19 modeling_qwen3.
#include "model/architecture.h"
#include "model/decoder_layer.h"
#include "model/qwen.h"

namespace octet::model {

namespace {

ModelConfig read_qwen3_config(const files::JsonValue& config) {
  ModelConfig c = read_decoder(config, {.head_dim = 128});
  c.qkv_bias = c.o_bias = read_flag(config, "attention_bias");
  c.qk_norm = true;
  set_qwen_windows(config, c);
  return c;
}

}  // namespace

const Architecture& qwen3_architecture() {
  static const Architecture architecture{
      {"Qwen3ForCausalLM"}, read_qwen3_config, load_pre_norm_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
