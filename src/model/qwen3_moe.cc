// Qwen3-MoE: Qwen3 with a mixture of experts in place of the MLP, in every decoder_sparse_step-th layer but
// those of mlp_only_layers. Source: transformers 5.19 modeling_qwen3_moe.
#include "model/architecture.h"
#include "model/config_fields.h"
#include "model/decoder_layer.h"

namespace octet::model {

namespace {

void read_expert_layers(const files::JsonValue& config, ModelConfig& c) {
  const int every =
      config.find("decoder_sparse_step") ? read_int(config, "decoder_sparse_step", 1, kMostExperts) : 1;
  for (std::size_t layer = 0; layer < c.layers.size(); ++layer)
    c.layers[layer].experts = (static_cast<int>(layer) + 1) % every == 0;
  if (const auto dense = config.find("mlp_only_layers"))
    for (const files::JsonValue& layer : dense->elements())
      c.layers[static_cast<std::size_t>(layer.as_int(0, c.num_layers - 1))].experts = false;
}

ModelConfig read_qwen3_moe_config(const files::JsonValue& config) {
  constexpr int kWindowWhereAbsent = 4096;
  ModelConfig c = read_decoder(config, {});
  c.qkv_bias = c.o_bias = read_flag(config, "attention_bias");
  c.qk_norm = true;
  const auto experts = find_either(config, "num_local_experts", "num_experts");
  c.num_experts = experts ? static_cast<int>(experts->as_int(1, kMostExperts))
                          : read_int(config, "num_experts", 1, kMostExperts);
  c.experts_per_token = read_int(config, "num_experts_per_tok", 1, c.num_experts);
  c.expert_intermediate_size = read_int(config, "moe_intermediate_size", 1, kMostWidth);
  c.norm_topk_prob = read_flag(config, "norm_topk_prob");
  read_expert_layers(config, c);
  const int window = read_sliding_window(config, kWindowWhereAbsent, false);
  set_windows(config, c, window, std::vector<bool>(c.layers.size(), true));
  return c;
}

LayerWeights load_qwen3_moe_layer(const LayerTensors& tensors, const ModelConfig& c) {
  if (!c.layers[static_cast<std::size_t>(tensors.layer())].experts) return load_pre_norm_layer(tensors, c);
  return load_expert_layer(tensors, c, {"mlp", "gate_proj", "up_proj", "down_proj"});
}

}  // namespace

const Architecture& qwen3_moe_architecture() {
  static const Architecture architecture{
      {"Qwen3MoeForCausalLM"}, read_qwen3_moe_config, load_qwen3_moe_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
