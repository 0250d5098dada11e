// The Llama family: Llama 2 and 3, SmolLM2, Mistral. Pre-norm, grouped-query attention, gated SiLU MLP.
// Source: transformers 5.19 modeling_llama and modeling_mistral.
#include "model/architecture.h"

namespace octet::model {

namespace {

Weights load_weights(const files::Checkpoint& checkpoint, const ModelConfig& c) {
  const int q_rows = c.num_heads * c.head_dim;
  const int kv_rows = c.num_kv_heads * c.head_dim;
  Weights weights;
  weights.embedding = take_linear(checkpoint, "model.embed_tokens", c.vocab_size, c.hidden_size, false);
  for (int i = 0; i < c.num_layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    const auto linear = [&](const char* name, int rows, int cols, bool has_bias) {
      return take_linear(checkpoint, prefix + name, rows, cols, has_bias);
    };
    LayerWeights layer;
    layer.attention_norm = take_vector(checkpoint, prefix + "input_layernorm.weight", c.hidden_size);
    layer.q = linear("self_attn.q_proj", q_rows, c.hidden_size, c.attention_bias);
    layer.k = linear("self_attn.k_proj", kv_rows, c.hidden_size, c.attention_bias);
    layer.v = linear("self_attn.v_proj", kv_rows, c.hidden_size, c.attention_bias);
    layer.o = linear("self_attn.o_proj", c.hidden_size, q_rows, c.attention_bias);
    layer.mlp_norm = take_vector(checkpoint, prefix + "post_attention_layernorm.weight", c.hidden_size);
    layer.gate = linear("mlp.gate_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    layer.up = linear("mlp.up_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    layer.down = linear("mlp.down_proj", c.hidden_size, c.intermediate_size, c.mlp_bias);
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = take_vector(checkpoint, "model.norm.weight", c.hidden_size);
  weights.lm_head = c.tie_word_embeddings
                        ? weights.embedding
                        : take_linear(checkpoint, "lm_head", c.vocab_size, c.hidden_size, false);
  return weights;
}

void run_layer(Step& step, const LayerWeights& w, int layer, float* hidden) {
  const ModelConfig& c = step.config;
  Workspace& ws = step.workspace;
  const int tokens = step.num_tokens();
  const int q_width = c.num_heads * c.head_dim;
  const int kv_width = c.num_kv_heads * c.head_dim;
  const int qkv_width = q_width + 2 * kv_width;

  float* qkv = ws.qkv.data();
  rms_norm(step, ws.normed.data(), hidden, w.attention_norm, tokens);
  const Product qkv_products[] = {
      {&w.q, qkv, qkv_width}, {&w.k, qkv + q_width, qkv_width}, {&w.v, qkv + q_width + kv_width, qkv_width}};
  multiply(step, qkv_products, ws.normed.data(), c.hidden_size, tokens);
  rotate_and_store(step, layer, qkv);
  attend(step, layer, qkv, ws.attention.data());
  const Product o_product[] = {{&w.o, ws.projected.data(), c.hidden_size}};
  multiply(step, o_product, ws.attention.data(), q_width, tokens);
  add(step, hidden, ws.projected.data());

  float* gate_up = ws.gate_up.data();
  const int gate_up_width = 2 * c.intermediate_size;
  rms_norm(step, ws.normed.data(), hidden, w.mlp_norm, tokens);
  const Product gate_up_products[] = {{&w.gate, gate_up, gate_up_width},
                                      {&w.up, gate_up + c.intermediate_size, gate_up_width}};
  multiply(step, gate_up_products, ws.normed.data(), c.hidden_size, tokens);
  silu_mul(step, gate_up);
  const Product down_product[] = {{&w.down, ws.projected.data(), c.hidden_size}};
  multiply(step, down_product, gate_up, gate_up_width, tokens);
  add(step, hidden, ws.projected.data());
}

}  // namespace

const Architecture& llama_architecture() {
  static const Architecture architecture{{"LlamaForCausalLM", "MistralForCausalLM"}, load_weights, run_layer};
  return architecture;
}

}  // namespace octet::model
