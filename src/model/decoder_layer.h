// What the families' layers are made of: attention, the gated MLP, and the pre-norm layer around them that most
// families are. All tensors under their usual names; a family with others loads them itself.
#pragma once

#include <string>

#include "model/config.h"
#include "model/layer_tensors.h"
#include "model/step.h"
#include "model/weights.h"

namespace octet::model {

// self_attn.{q,k,v,o}_proj, with biases as the config has them, and {q,k}_norm where it has those.
void take_attention(const LayerTensors& tensors, const ModelConfig& config, LayerWeights& layer);
// mlp.{gate,up,down}_proj.
void take_gated_mlp(const LayerTensors& tensors, const ModelConfig& config, LayerWeights& layer);
// Both, and the norms before them: input_layernorm and post_attention_layernorm.
LayerWeights load_pre_norm_layer(const LayerTensors& tensors, const ModelConfig& config);

// What a family calls the parts of an expert: PREFIX.experts.N.GATE and so on, and PREFIX.gate for the router.
struct ExpertNames {
  std::string prefix, gate, up, down;
};
// load_pre_norm_layer with the router and every expert in place of the MLP.
LayerWeights load_expert_layer(const LayerTensors& tensors, const ModelConfig& config,
                               const ExpertNames& names);

// out [num_tokens, D] = the sum of gated MLPs of the experts_per_token experts that the router gives most
// weight, by these weights; no other expert is read. A token's experts are summed in their order, whatever else
// is in the step. Source: transformers 5.19 modeling_qwen3_moe and modeling_mixtral.
void mixture_of_experts(Step& step, const LayerWeights& weights, const float* x, float* out, int num_tokens);

// hidden += attention(norm(hidden)); hidden += mlp(norm(hidden)), with experts where the layer has them; what
// is added is normed first where the config has post_norms. hidden [T, D]; the last layer leaves [L, D], the
// rows of the tokens whose logits are wanted, since nobody reads what it would make of the others.
void run_pre_norm_layer(Step& step, const LayerWeights& weights, int layer, float* hidden);

}  // namespace octet::model
