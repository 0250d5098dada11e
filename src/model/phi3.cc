// Phi-3 and Phi-4: Llama whose q, k and v are one matrix, and gate and up another; LongRoPE, and in Phi-4-mini
// only a part of each head turns.
// Source: transformers 5.19 modeling_phi3.
#include "model/architecture.h"
#include "model/config_fields.h"
#include "model/decoder_layer.h"

namespace octet::model {

namespace {

ModelConfig read_phi3_config(const files::JsonValue& config) {
  if (const auto bias = config.find("attention_bias"); bias && bias->as_bool())
    refuse(*bias, "true is not run here; run is false");
  ModelConfig c = read_decoder(config, {.rms_norm_eps = 1e-5, .kv_heads_as_query_heads = true});
  set_windows(config, c, read_sliding_window(config, 0), std::vector<bool>(c.layers.size(), true));
  return c;
}

LayerWeights load_phi3_layer(const LayerTensors& tensors, const ModelConfig& c) {
  const int q_rows = c.num_heads * c.head_dim, kv_rows = c.num_kv_heads * c.head_dim;
  LayerWeights layer;
  layer.attention_norm = tensors.norm("input_layernorm", c.hidden_size);
  const Linear qkv = tensors.linear("self_attn.qkv_proj", q_rows + 2 * kv_rows, c.hidden_size);
  layer.q = take_rows(qkv, 0, q_rows);
  layer.k = take_rows(qkv, q_rows, kv_rows);
  layer.v = take_rows(qkv, q_rows + kv_rows, kv_rows);
  layer.o = tensors.linear("self_attn.o_proj", c.hidden_size, q_rows);
  layer.mlp_norm = tensors.norm("post_attention_layernorm", c.hidden_size);
  const Linear gate_up = tensors.linear("mlp.gate_up_proj", 2 * c.intermediate_size, c.hidden_size);
  layer.gate = take_rows(gate_up, 0, c.intermediate_size);
  layer.up = take_rows(gate_up, c.intermediate_size, c.intermediate_size);
  layer.down = tensors.linear("mlp.down_proj", c.hidden_size, c.intermediate_size);
  return layer;
}

}  // namespace

const Architecture& phi3_architecture() {
  static const Architecture architecture{
      {"Phi3ForCausalLM"}, read_phi3_config, load_phi3_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
