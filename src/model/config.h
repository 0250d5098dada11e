// ModelConfig: the shape of a decoder, from config.json. Every unknown or contradictory value is an Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "files/json_value.h"
#include "numeric/dtype.h"

namespace octet::model {

// How rotary frequencies are stretched; rope_type as configs spell it.
struct RopeConfig {
  enum class Type { default_, linear, llama3 } type = Type::default_;
  double theta = 10000.0;
  double factor = 1.0;                       // linear, llama3
  double low_freq_factor = 1.0;              // llama3
  double high_freq_factor = 4.0;             // llama3
  int original_max_position_embeddings = 0;  // llama3
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
  int sliding_window = 0;           // tokens; 0 = none
  float rms_norm_eps = 1e-5f;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  RopeConfig rope;
  Dtype dtype = Dtype::bfloat16;  // the checkpoint's torch_dtype / dtype
  std::vector<std::int32_t> eos_token_ids;

  int group() const { return num_heads / num_kv_heads; }  // query heads a KV head
};

// Throws Error{invalid_file} naming config.json and the field, or Error{unsupported} for an architecture or
// value that is not run here, listing those that are.
ModelConfig read_model_config(const files::JsonValue& config);

}  // namespace octet::model
