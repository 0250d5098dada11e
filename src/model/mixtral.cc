// Mixtral: Mistral with a mixture of experts in place of every MLP; the chosen experts' weights add up to one.
// Source: transformers 5.19 modeling_mixtral.
#include "model/architecture.h"
#include "model/config_fields.h"
#include "model/decoder_layer.h"

namespace octet::model {

namespace {

ModelConfig read_mixtral_config(const files::JsonValue& config) {
  constexpr int kMostLocalExperts = 1 << 14;
  ModelConfig c = read_decoder(config, {.rope_theta = 1e6, .rms_norm_eps = 1e-5});
  c.num_experts = read_int(config, "num_local_experts", 1, kMostLocalExperts);
  c.experts_per_token = read_int(config, "num_experts_per_tok", 1, c.num_experts);
  c.expert_intermediate_size = c.intermediate_size;
  c.norm_topk_prob = true;
  for (LayerConfig& layer : c.layers) layer.experts = true;
  set_windows(config, c, read_sliding_window(config, 0), std::vector<bool>(c.layers.size(), true));
  return c;
}

LayerWeights load_mixtral_layer(const LayerTensors& tensors, const ModelConfig& c) {
  LayerWeights layer;
  layer.attention_norm = tensors.norm("input_layernorm", c.hidden_size);
  take_attention(tensors, c, layer);
  layer.mlp_norm = tensors.norm("post_attention_layernorm", c.hidden_size);
  layer.router = tensors.linear("block_sparse_moe.gate", c.num_experts, c.hidden_size);
  for (int e = 0; e < c.num_experts; ++e) {
    const std::string name = "block_sparse_moe.experts." + std::to_string(e) + ".";
    layer.experts.push_back({.gate = tensors.linear(name + "w1", c.intermediate_size, c.hidden_size),
                             .up = tensors.linear(name + "w3", c.intermediate_size, c.hidden_size),
                             .down = tensors.linear(name + "w2", c.hidden_size, c.intermediate_size)});
  }
  return layer;
}

}  // namespace

const Architecture& mixtral_architecture() {
  static const Architecture architecture{
      {"MixtralForCausalLM"}, read_mixtral_config, load_mixtral_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
