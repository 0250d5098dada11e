#include "model/config.h"

#include <cmath>

#include "kernels/kernel_table.h"
#include "model/architecture.h"
#include "model/config_fields.h"

namespace octet::model {

namespace {

using files::JsonValue;

// Far above every published model, and low enough that no product of two of them leaves 64 bits.
constexpr int kMostLayers = 4096;
constexpr int kMostHeads = 4096;
constexpr int kMostHeadDim = 1024;
constexpr int kMostVocabulary = 1 << 24;

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

// The first of the names that is run here.
std::pair<std::string, const Architecture*> read_architecture(const JsonValue& config) {
  const JsonValue architectures = config.at("architectures");
  for (const JsonValue& name : architectures.elements())
    if (const Architecture* found = find_architecture(name.as_string())) return {name.as_string(), found};
  refuse(architectures, architectures.dump() + " is not run here; run are " + join(known_architectures()));
}

void read_heads(const JsonValue& config, const DecoderDefaults& defaults, ModelConfig& c) {
  c.hidden_size = read_int(config, "hidden_size", 1, kMostWidth);
  c.num_heads = read_int(config, "num_attention_heads", 1, kMostHeads);
  const bool own_default = !config.find("num_key_value_heads") && defaults.kv_heads_as_query_heads;
  c.num_kv_heads = own_default ? c.num_heads : read_int(config, "num_key_value_heads", 1, kMostHeads);
  if (c.num_heads % c.num_kv_heads != 0)
    config.at("num_key_value_heads")
        .fail("num_attention_heads " + std::to_string(c.num_heads) + " is no multiple of " +
              std::to_string(c.num_kv_heads));
  if (c.group() > kernels::kMaxGroup)
    config.at("num_attention_heads")
        .fail("expected at most " + std::to_string(kernels::kMaxGroup) + " for each of " +
              std::to_string(c.num_kv_heads) + " key and value heads, found " + std::to_string(c.group()));
  if (const auto head_dim = config.find("head_dim")) {
    c.head_dim = static_cast<int>(head_dim->as_int(2, kMostHeadDim));
    if (c.head_dim % 2 != 0)
      head_dim->fail("rotary embedding turns pairs: expected an even number, found " + head_dim->dump());
    return;
  }
  if (defaults.head_dim > 0) {
    c.head_dim = defaults.head_dim;
    return;
  }
  const JsonValue hidden_size = config.at("hidden_size");
  c.head_dim = c.hidden_size / c.num_heads;
  if (c.hidden_size % c.num_heads != 0 || c.head_dim % 2 != 0 || c.head_dim < 2 || c.head_dim > kMostHeadDim)
    hidden_size.fail(hidden_size.dump() + " over " + std::to_string(c.num_heads) +
                     " attention heads gives no even head_dim of at most " + std::to_string(kMostHeadDim) +
                     ", and none is stated");
}

Activation read_activation(const JsonValue& config, const DecoderDefaults& defaults) {
  const auto value = config.find(defaults.activation_key);
  if (!value) return defaults.activation;
  const std::string name = value->as_string();
  if (name == "silu") return Activation::silu;
  if (name == "gelu_pytorch_tanh") return Activation::gelu_pytorch_tanh;
  refuse(*value, value->dump() + " is not run here; run are silu, gelu_pytorch_tanh");
}

Dtype read_dtype(const JsonValue& config) {
  const auto value = find_either(config, "dtype", "torch_dtype");
  if (!value) return Dtype::float32;  // as transformers
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16})
    if (value->as_string() == dtype_name(dtype)) return dtype;
  refuse(*value, value->dump() + " is not run here; run are float32, float16, bfloat16");
}

std::vector<std::int32_t> read_eos(const JsonValue& config, int vocab_size) {
  std::vector<std::int32_t> ids;
  const auto eos = config.find("eos_token_id");
  if (!eos) return ids;
  const auto add = [&](const JsonValue& id) {
    ids.push_back(static_cast<std::int32_t>(id.as_int(0, vocab_size - 1)));
  };
  if (!eos->is_array())
    add(*eos);
  else
    for (const JsonValue& id : eos->elements()) add(id);
  return ids;
}

}  // namespace

ModelConfig read_decoder(const JsonValue& config, const DecoderDefaults& defaults) {
  ModelConfig c;
  c.vocab_size = read_int(config, "vocab_size", 1, kMostVocabulary);
  c.intermediate_size = read_int(config, "intermediate_size", 1, kMostWidth);
  c.num_layers = read_int(config, "num_hidden_layers", 1, kMostLayers);
  c.layers.resize(static_cast<std::size_t>(c.num_layers));
  read_heads(config, defaults, c);
  c.attention_scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim));
  c.max_position_embeddings = read_int(config, "max_position_embeddings", 1, kMostPositions);
  const auto eps = config.find("rms_norm_eps");
  c.rms_norm_eps = static_cast<float>(eps ? read_number(*eps, 0.0, 0.1) : defaults.rms_norm_eps);
  c.activation = read_activation(config, defaults);
  c.tie_word_embeddings = read_flag(config, "tie_word_embeddings", defaults.tie_word_embeddings);
  if (!defaults.per_layer_type_rope)
    c.ropes = {read_rope(config, find_rope_parameters(config), "rope_theta", defaults.rope_theta, c.head_dim)};
  c.dtype = read_dtype(config);
  c.eos_token_ids = read_eos(config, c.vocab_size);
  return c;
}

ModelConfig read_model_config(const JsonValue& config) {
  const auto [name, architecture] = read_architecture(config);
  const std::string model_type = config.at("model_type").as_string();
  ModelConfig c = architecture->read_config(config);
  c.architecture = name;
  c.model_type = model_type;
  return c;
}

}  // namespace octet::model
