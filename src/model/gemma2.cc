// Gemma-2: every other layer has a window, from the first on; attention scores and logits are soft-capped.
// Source: transformers 5.19 modeling_gemma2.
#include <cmath>

#include "model/architecture.h"
#include "model/decoder_layer.h"
#include "model/gemma.h"

namespace octet::model {

namespace {

ModelConfig read_gemma2_config(const files::JsonValue& config) {
  constexpr int kWindowWhereAbsent = 4096;
  ModelConfig c = read_gemma(config, {});
  c.attention_logit_softcap = read_softcap(config, "attn_logit_softcapping", 50.0);
  c.final_logit_softcap = read_softcap(config, "final_logit_softcapping", 30.0);
  std::vector<bool> windowed;
  for (std::size_t layer = 0; layer < c.layers.size(); ++layer) windowed.push_back(layer % 2 == 0);
  set_windows(config, c, read_sliding_window(config, kWindowWhereAbsent), windowed);
  return c;
}

}  // namespace

ModelConfig read_gemma(const files::JsonValue& config, DecoderDefaults defaults) {
  defaults.tie_word_embeddings = true;
  defaults.head_dim = 256;
  defaults.activation_key = "hidden_activation";
  defaults.activation = Activation::gelu_pytorch_tanh;
  ModelConfig c = read_decoder(config, defaults);
  if (const auto both = config.find("use_bidirectional_attention"); both && both->as_bool())
    refuse(*both, "true is not run here; run is false");
  c.qkv_bias = c.o_bias = read_flag(config, "attention_bias");
  c.norm_plus_one = true;
  c.post_norms = true;
  c.embedding_scale = std::sqrt(static_cast<double>(c.hidden_size));
  const auto scalar = config.find("query_pre_attn_scalar");
  c.attention_scale = 1.0 / std::sqrt(scalar ? read_number(*scalar, 0.0, 1e6) : 256.0);
  return c;
}

double read_softcap(const files::JsonValue& config, const char* key, double absent) {
  if (const auto value = config.find(key)) return read_number(*value, 0.0, 1e6);
  return is_stated(config, key) ? 0.0 : absent;
}

LayerWeights load_gemma_layer(const LayerTensors& tensors, const ModelConfig& c) {
  LayerWeights layer;
  layer.attention_norm = tensors.norm("input_layernorm", c.hidden_size);
  take_attention(tensors, c, layer);
  layer.attention_post_norm = tensors.norm("post_attention_layernorm", c.hidden_size);
  layer.mlp_norm = tensors.norm("pre_feedforward_layernorm", c.hidden_size);
  take_gated_mlp(tensors, c, layer);
  layer.mlp_post_norm = tensors.norm("post_feedforward_layernorm", c.hidden_size);
  return layer;
}

const Architecture& gemma2_architecture() {
  static const Architecture architecture{
      {"Gemma2ForCausalLM"}, read_gemma2_config, load_gemma_layer, run_pre_norm_layer};
  return architecture;
}

}  // namespace octet::model
