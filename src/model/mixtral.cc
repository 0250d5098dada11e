// Mixtral: Mistral with a mixture of experts in place of every MLP; the chosen experts' weights add up to one.
// Source: transformers 5.19 modeling_mixtral.
#include "model/architecture.h"
#include "model/config_fields.h"
#include "model/decoder_layer.h"

namespace octet::model {

namespace {

ModelConfig read_mixtral_config(const files::JsonValue& config) {
  ModelConfig c = read_decoder(config, {.rope_theta = 1e6, .rms_norm_eps = 1e-5});
  c.num_experts = read_int(config, "num_local_experts", 1, kMostExperts);
  c.experts_per_token = read_int(config, "num_experts_per_tok", 1, c.num_experts);
  c.expert_intermediate_size = c.intermediate_size;
  c.norm_topk_prob = true;
  for (LayerConfig& layer : c.layers) layer.experts = true;
  set_windows(config, c, read_sliding_window(config, 0), std::vector<bool>(c.layers.size(), true));
  return c;
}

LayerWeights load_mixtral_layer(const LayerTensors& tensors, const ModelConfig& c) {
  return load_expert_layer(tensors, c, {"block_sparse_moe", "w1", "w3", "w2"});
}

}  // namespace

const Architecture& mixtral_architecture() {
  static const Architecture architecture{
      {"MixtralForCausalLM"}, read_mixtral_config, load_mixtral_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
