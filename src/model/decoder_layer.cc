#include "model/decoder_layer.h"

#include <algorithm>

namespace octet::model {

namespace {

// A pre-norm layer but for its MLP.
LayerWeights load_attention_and_norms(const LayerTensors& tensors, const ModelConfig& c) {
  LayerWeights layer;
  layer.attention_norm = tensors.norm("input_layernorm", c.hidden_size);
  take_attention(tensors, c, layer);
  layer.mlp_norm = tensors.norm("post_attention_layernorm", c.hidden_size);
  return layer;
}

}  // namespace

void take_attention(const LayerTensors& tensors, const ModelConfig& c, LayerWeights& layer) {
  const int q_rows = c.num_heads * c.head_dim, kv_rows = c.num_kv_heads * c.head_dim;
  layer.q = tensors.linear("self_attn.q_proj", q_rows, c.hidden_size, c.qkv_bias);
  layer.k = tensors.linear("self_attn.k_proj", kv_rows, c.hidden_size, c.qkv_bias);
  layer.v = tensors.linear("self_attn.v_proj", kv_rows, c.hidden_size, c.qkv_bias);
  if (c.qk_norm) {
    layer.q_norm = tensors.norm("self_attn.q_norm", c.head_dim);
    layer.k_norm = tensors.norm("self_attn.k_norm", c.head_dim);
  }
  layer.o = tensors.linear("self_attn.o_proj", c.hidden_size, q_rows, c.o_bias);
}

void take_gated_mlp(const LayerTensors& tensors, const ModelConfig& c, LayerWeights& layer) {
  layer.gate = tensors.linear("mlp.gate_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
  layer.up = tensors.linear("mlp.up_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
  layer.down = tensors.linear("mlp.down_proj", c.hidden_size, c.intermediate_size, c.mlp_bias);
}

LayerWeights load_pre_norm_layer(const LayerTensors& tensors, const ModelConfig& c) {
  LayerWeights layer = load_attention_and_norms(tensors, c);
  take_gated_mlp(tensors, c, layer);
  return layer;
}

LayerWeights load_expert_layer(const LayerTensors& tensors, const ModelConfig& c, const ExpertNames& names) {
  LayerWeights layer = load_attention_and_norms(tensors, c);
  const int size = c.expert_intermediate_size;
  layer.router = tensors.linear(names.prefix + ".gate", c.num_experts, c.hidden_size);
  for (int e = 0; e < c.num_experts; ++e) {
    const std::string expert = names.prefix + ".experts." + std::to_string(e) + ".";
    layer.experts.push_back({.gate = tensors.linear(expert + names.gate, size, c.hidden_size),
                             .up = tensors.linear(expert + names.up, size, c.hidden_size),
                             .down = tensors.linear(expert + names.down, c.hidden_size, size)});
  }
  return layer;
}

namespace {

// [T, H * d] attention of x [T, D] before the output projection; fills the cache.
float* attention(Step& step, const LayerWeights& w, int layer, const float* x) {
  const ModelConfig& c = step.config;
  const int tokens = step.num_tokens();
  const int q_width = c.num_heads * c.head_dim;
  const int kv_width = c.num_kv_heads * c.head_dim;
  const int qkv_width = q_width + 2 * kv_width;
  float* qkv = step.workspace.qkv.data();
  float* attended = step.workspace.attention.data();
  const Product qkv_products[] = {
      {&w.q, qkv, qkv_width}, {&w.k, qkv + q_width, qkv_width}, {&w.v, qkv + q_width + kv_width, qkv_width}};
  multiply(step, qkv_products, x, c.hidden_size, tokens);
  if (c.qk_norm) norm_heads(step, w, qkv);
  rotate_and_store(step, layer, qkv);
  attend(step, layer, qkv, attended);
  return attended;
}

// Moves the rows [width] of the tokens whose logits are wanted to the front.
void keep_logits_rows(const Step& step, float* rows, int width) {
  const auto row = [&](std::size_t index) { return rows + index * static_cast<std::size_t>(width); };
  const std::vector<std::int32_t>& wanted = step.plan->logits_rows;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (const auto from = static_cast<std::size_t>(wanted[i]); from != i) std::copy_n(row(from), width, row(i));
}

void gated_mlp(Step& step, const LayerWeights& w, const float* x, float* out, int tokens) {
  const ModelConfig& c = step.config;
  const int width = 2 * c.intermediate_size;
  float* gate_up = step.workspace.gate_up.data();
  const Product gate_up_products[] = {{&w.gate, gate_up, width}, {&w.up, gate_up + c.intermediate_size, width}};
  multiply(step, gate_up_products, x, c.hidden_size, tokens);
  activate(step, gate_up, c.intermediate_size, tokens);
  const Product down_product[] = {{&w.down, out, c.hidden_size}};
  multiply(step, down_product, gate_up, width, tokens);
}

}  // namespace

void run_pre_norm_layer(Step& step, const LayerWeights& w, int layer, float* hidden) {
  const ModelConfig& c = step.config;
  float* normed = step.workspace.normed.data();
  float* projected = step.workspace.projected.data();
  int tokens = step.num_tokens();
  rms_norm(step, normed, hidden, w.attention_norm, tokens);
  float* attended = attention(step, w, layer, normed);
  const int q_width = c.num_heads * c.head_dim;
  if (step.is_last(layer)) {
    keep_logits_rows(step, hidden, c.hidden_size);
    keep_logits_rows(step, attended, q_width);
    tokens = static_cast<int>(step.plan->logits_rows.size());
    if (tokens == 0) return;
  }
  const Product o_product[] = {{&w.o, projected, c.hidden_size}};
  multiply(step, o_product, attended, q_width, tokens);
  if (c.post_norms) rms_norm(step, projected, projected, w.attention_post_norm, tokens);
  add(step, hidden, projected, tokens);
  rms_norm(step, normed, hidden, w.mlp_norm, tokens);
  if (w.experts.empty())
    gated_mlp(step, w, normed, projected, tokens);
  else
    mixture_of_experts(step, w, normed, projected, tokens);
  if (c.post_norms) rms_norm(step, projected, projected, w.mlp_post_norm, tokens);
  add(step, hidden, projected, tokens);
}

}  // namespace octet::model
