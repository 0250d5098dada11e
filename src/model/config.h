// ModelConfig: the shape of a decoder, from config.json. Every unknown or contradictory value is an Error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "files/json_value.h"
#include "model/rope.h"
#include "numeric/dtype.h"

namespace octet::model {

// What the gate of the MLP goes through.
enum class Activation { silu, gelu_pytorch_tanh };

// What layers of one model differ in.
struct LayerConfig {
  int sliding_window = 0;  // latest tokens that a query attends to, itself included; 0 = all
  int rope = 0;            // which of ModelConfig::ropes turns queries and keys; kNoRope = none does
  bool experts = false;    // a mixture of experts in place of the dense MLP

  static constexpr int kNoRope = -1;
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM"
  std::string model_type;    // "llama"
  int vocab_size = 0;
  int hidden_size = 0;        // D
  int intermediate_size = 0;  // F
  int num_layers = 0;
  int num_heads = 0;                // query heads, H
  int num_kv_heads = 0;             // H_kv; H is a multiple of it
  int head_dim = 0;                 // may differ from D / H
  int max_position_embeddings = 0;  // tokens
  int sliding_window = 0;           // tokens, of the layers that have one (`layers`); 0 = none has
  std::vector<LayerConfig> layers;  // [num_layers]
  std::vector<RopeConfig> ropes;    // the first is that of layers without a window

  float rms_norm_eps = 1e-5f;
  bool norm_plus_one = false;  // norms multiply by 1 + weight
  bool post_norms = false;     // attention and MLP outputs are normed too, before they are added
  bool qk_norm = false;        // every head of q and k is normed before it is turned
  Activation activation = Activation::silu;
  double embedding_scale = 1.0;
  double attention_scale = 0.0;          // multiplies q·k
  double attention_logit_softcap = 0.0;  // cap * tanh(score / cap) of attention scores; 0 = none
  double final_logit_softcap = 0.0;      // the same of logits

  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;

  int num_experts = 0;               // 0 = dense
  int experts_per_token = 0;         // k
  int expert_intermediate_size = 0;  // of one expert
  bool norm_topk_prob = false;       // the chosen experts' weights add up to one

  Dtype dtype = Dtype::bfloat16;  // the checkpoint's torch_dtype / dtype
  std::vector<std::int32_t> eos_token_ids;

  int group() const { return num_heads / num_kv_heads; }  // query heads a KV head
};

// Throws Error{invalid_file} naming config.json and the field, or Error{unsupported} for an architecture or
// value that is not run here, listing those that are.
ModelConfig read_model_config(const files::JsonValue& config);

}  // namespace octet::model
