#include "model/config.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "model/architecture.h"

namespace octet::model {

namespace {

using files::JsonValue;

// Far above every published model, and low enough that no product of two of them leaves 64 bits.
constexpr int kMostLayers = 4096;
constexpr int kMostHeads = 4096;
constexpr int kMostHeadDim = 1024;
constexpr int kMostWidth = 1 << 20;
constexpr int kMostVocabulary = 1 << 24;
constexpr int kMostPositions = 1 << 28;

[[noreturn]] void unsupported(const JsonValue& value, const std::string& message) {
  throw Error(ErrorCode::unsupported, message, value.file() + ": " + value.path());
}

int read_int(const JsonValue& config, const char* key, int least, int most) {
  return static_cast<int>(config.at(key).as_int(least, most));
}

bool read_flag(const JsonValue& config, const char* key) {
  const auto value = config.find(key);
  return value && value->as_bool();
}

// Greater than `above` and at most `most`.
double read_number(const JsonValue& value, double above, double most) {
  const double number = value.as_double();
  if (!(number > above && number <= most))
    value.fail("expected a number above " + std::to_string(above) + " and at most " + std::to_string(most) +
               ", found " + value.dump());
  return number;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

std::string read_architecture(const JsonValue& config) {
  const JsonValue architectures = config.at("architectures");
  for (const JsonValue& name : architectures.elements())
    if (find_architecture(name.as_string())) return name.as_string();
  unsupported(architectures, architectures.dump() + " is not run here; run are " + join(known_architectures()));
}

void read_heads(const JsonValue& config, ModelConfig& c) {
  c.hidden_size = read_int(config, "hidden_size", 1, kMostWidth);
  c.num_heads = read_int(config, "num_attention_heads", 1, kMostHeads);
  // Mistral's own default differs from Llama's, so there it has to be said.
  const bool own_default = !config.find("num_key_value_heads") && c.model_type == "llama";
  c.num_kv_heads = own_default ? c.num_heads : read_int(config, "num_key_value_heads", 1, kMostHeads);
  if (c.num_heads % c.num_kv_heads != 0)
    config.at("num_key_value_heads")
        .fail("num_attention_heads " + std::to_string(c.num_heads) + " is no multiple of " +
              std::to_string(c.num_kv_heads));
  if (const auto head_dim = config.find("head_dim")) {
    c.head_dim = static_cast<int>(head_dim->as_int(2, kMostHeadDim));
    if (c.head_dim % 2 != 0)
      head_dim->fail("rotary embedding turns pairs: expected an even number, found " + head_dim->dump());
    return;
  }
  const JsonValue hidden_size = config.at("hidden_size");
  c.head_dim = c.hidden_size / c.num_heads;
  if (c.hidden_size % c.num_heads != 0 || c.head_dim % 2 != 0 || c.head_dim < 2 || c.head_dim > kMostHeadDim)
    hidden_size.fail(hidden_size.dump() + " over " + std::to_string(c.num_heads) +
                     " attention heads gives no even head_dim of at most " + std::to_string(kMostHeadDim) +
                     ", and none is stated");
}

// Nothing where neither is there; an error where both are and differ.
std::optional<JsonValue> find_either(const JsonValue& config, const char* key, const char* other) {
  const auto first = config.find(key), second = config.find(other);
  if (first && second && first->dump() != second->dump())
    first->fail(first->dump() + " contradicts " + other + " " + second->dump());
  return first ? first : second;
}

RopeConfig::Type read_rope_type(const JsonValue& rope, bool required) {
  const auto type = find_either(rope, "rope_type", "type");
  if (!type && !required) return RopeConfig::Type::default_;
  const JsonValue value = type ? *type : rope.at("rope_type");
  const std::string name = value.as_string();
  if (name == "default") return RopeConfig::Type::default_;
  if (name == "linear") return RopeConfig::Type::linear;
  if (name == "llama3") return RopeConfig::Type::llama3;
  unsupported(value, "\"" + name + "\" is not run here; run are default, linear, llama3");
}

// A member that is not known here could change every frequency.
void refuse_unknown_members(const JsonValue& rope) {
  static constexpr std::array<std::string_view, 8> kKnown = {"rope_type",
                                                             "type",
                                                             "rope_theta",
                                                             "factor",
                                                             "low_freq_factor",
                                                             "high_freq_factor",
                                                             "original_max_position_embeddings",
                                                             "partial_rotary_factor"};
  for (const std::string& key : rope.keys()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end()) continue;
    if (const auto value = rope.find(key)) unsupported(*value, "is not known here");
  }
}

void refuse_partial_rotary(const JsonValue& object) {
  const auto factor = object.find("partial_rotary_factor");
  if (factor && factor->as_double() != 1.0) unsupported(*factor, factor->dump() + " is not run here; run is 1");
}

void read_llama3(const JsonValue& scaling, RopeConfig& rope) {
  constexpr double kMost = 1e6;
  rope.low_freq_factor = read_number(scaling.at("low_freq_factor"), 0.0, kMost);
  rope.high_freq_factor = read_number(scaling.at("high_freq_factor"), 0.0, kMost);
  if (rope.high_freq_factor <= rope.low_freq_factor)
    scaling.at("high_freq_factor")
        .fail("expected more than low_freq_factor " + scaling.at("low_freq_factor").dump() + ", found " +
              scaling.at("high_freq_factor").dump());
  rope.original_max_position_embeddings =
      read_int(scaling, "original_max_position_embeddings", 1, kMostPositions);
}

// transformers 5 keeps everything in rope_parameters; before it, rope_theta stood at the top level and the
// rest in rope_scaling.
RopeConfig read_rope(const JsonValue& config) {
  RopeConfig rope;
  const auto scaling = find_either(config, "rope_parameters", "rope_scaling");
  auto theta = config.find("rope_theta");
  refuse_partial_rotary(config);
  if (scaling) {
    refuse_unknown_members(*scaling);
    refuse_partial_rotary(*scaling);
    rope.type = read_rope_type(*scaling, !config.find("rope_parameters"));
    if (const auto inner = scaling->find("rope_theta")) {
      if (theta && theta->as_double() != inner->as_double())
        inner->fail(inner->dump() + " contradicts rope_theta " + theta->dump() + " at the top level");
      theta = inner;
    }
  }
  if (theta) rope.theta = read_number(*theta, 1.0, 1e12);
  if (rope.type == RopeConfig::Type::default_) return rope;
  const JsonValue factor = scaling->at("factor");
  rope.factor = factor.as_double();
  if (rope.factor < 1.0 || rope.factor > 1e6)
    factor.fail("expected a number from 1 to 1000000, found " + factor.dump());
  if (rope.type == RopeConfig::Type::llama3) read_llama3(*scaling, rope);
  return rope;
}

int read_sliding_window(const JsonValue& config, const ModelConfig& c) {
  constexpr int kMistralDefault = 4096;  // where the member is absent; null says that there is none
  const std::vector<std::string> keys = config.keys();
  const bool absent = std::find(keys.begin(), keys.end(), "sliding_window") == keys.end();
  int window = absent && c.model_type == "mistral" ? kMistralDefault : 0;
  if (const auto value = config.find("sliding_window"))
    window = static_cast<int>(value->as_int(1, kMostPositions));
  const auto layer_types = config.find("layer_types");
  if (!layer_types) return window;
  const std::string expected = window ? "sliding_attention" : "full_attention";
  for (const JsonValue& type : layer_types->elements())
    if (type.as_string() != expected)
      unsupported(type, type.dump() + " is not run here: all layers have " + expected);
  return window;
}

Dtype read_dtype(const JsonValue& config) {
  const auto value = find_either(config, "dtype", "torch_dtype");
  if (!value) return Dtype::float32;  // as transformers
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16})
    if (value->as_string() == dtype_name(dtype)) return dtype;
  unsupported(*value, value->dump() + " is not run here; run are float32, float16, bfloat16");
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

void refuse_what_is_not_run(const JsonValue& config) {
  const auto act = config.find("hidden_act");
  if (act && act->as_string() != "silu") unsupported(*act, act->dump() + " is not run here; run is silu");
  const auto slices = config.find("pretraining_tp");
  if (slices && slices->as_int() > 1) unsupported(*slices, slices->dump() + " is not run here; run is 1");
}

}  // namespace

ModelConfig read_model_config(const JsonValue& config) {
  ModelConfig c;
  c.architecture = read_architecture(config);
  c.model_type = config.at("model_type").as_string();
  refuse_what_is_not_run(config);
  c.vocab_size = read_int(config, "vocab_size", 1, kMostVocabulary);
  c.intermediate_size = read_int(config, "intermediate_size", 1, kMostWidth);
  c.num_layers = read_int(config, "num_hidden_layers", 1, kMostLayers);
  read_heads(config, c);
  c.max_position_embeddings = read_int(config, "max_position_embeddings", 1, kMostPositions);
  c.sliding_window = read_sliding_window(config, c);
  const auto eps = config.find("rms_norm_eps");
  c.rms_norm_eps = eps ? static_cast<float>(read_number(*eps, 0.0, 0.1)) : 1e-6f;  // as transformers
  c.tie_word_embeddings = read_flag(config, "tie_word_embeddings");
  c.attention_bias = read_flag(config, "attention_bias");
  c.mlp_bias = read_flag(config, "mlp_bias");
  c.rope = read_rope(config);
  c.dtype = read_dtype(config);
  c.eos_token_ids = read_eos(config, c.vocab_size);
  return c;
}

}  // namespace octet::model
