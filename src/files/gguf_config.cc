// config.json from GGUF metadata: what transformers' config of the same model says.
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "files/gguf_checkpoint.h"
#include "files/gguf_metadata.h"
#include "files/printable.h"

namespace octet::files {

namespace {

using Json = nlohmann::ordered_json;

struct Family {
  std::string_view architecture;  // general.architecture
  const char* class_name;
  const char* model_type;
};
// llama stands for Mistral too: its converter writes the same keys, and the window is a key of its own. With
// experts it is Mixtral.
constexpr std::array<Family, 8> kFamilies{{{"llama", "LlamaForCausalLM", "llama"},
                                           {"qwen2", "Qwen2ForCausalLM", "qwen2"},
                                           {"qwen3", "Qwen3ForCausalLM", "qwen3"},
                                           {"qwen3moe", "Qwen3MoeForCausalLM", "qwen3_moe"},
                                           {"gemma2", "Gemma2ForCausalLM", "gemma2"},
                                           {"gemma3", "Gemma3ForCausalLM", "gemma3_text"},
                                           {"phi3", "Phi3ForCausalLM", "phi3"},
                                           {"smollm3", "SmolLM3ForCausalLM", "smollm3"}}};
constexpr Family kMixtral{"llama", "MixtralForCausalLM", "mixtral"};

const Family& find_family(const GgufMetadata& metadata, const std::string& file) {
  const GgufValue* experts = metadata.find("expert_count");  // 0 is none, as where it is missing
  if (metadata.architecture() == "llama" && experts && experts->as_int(0, INT32_MAX) != 0) return kMixtral;
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.architecture == metadata.architecture()) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  throw Error(ErrorCode::unsupported,
              "\"" + printable(metadata.architecture()) + "\" is not run here; run are " + known,
              file + ": metadata general.architecture");
}

void add_shape(const GgufMetadata& metadata, Json& config) {
  constexpr std::string_view kValueLength = "attention.value_length", kRotaryDim = "rope.dimension_count";
  const std::int64_t hidden = metadata.size("embedding_length"), heads = metadata.size("attention.head_count");
  config["hidden_size"] = hidden;
  config["intermediate_size"] = metadata.size("feed_forward_length");
  config["num_hidden_layers"] = metadata.size("block_count");
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] =
      metadata.find("attention.head_count_kv") ? metadata.size("attention.head_count_kv") : heads;
  const std::int64_t head_dim =
      metadata.find("attention.key_length") ? metadata.size("attention.key_length") : hidden / heads;
  config["head_dim"] = head_dim;
  for (const std::string_view key : {kValueLength, kRotaryDim}) {
    if (!metadata.find(key) || metadata.size(key) == head_dim) continue;
    const std::int64_t size = metadata.size(key);
    if (key != kRotaryDim || metadata.architecture() != "phi3" || size > head_dim)
      metadata.unsupported(
          key, std::to_string(size) + " is not run here; run is the keys' length " + std::to_string(head_dim));
    // transformers rounds the product down: half more keeps it at `size`.
    config["partial_rotary_factor"] = (static_cast<double>(size) + 0.5) / static_cast<double>(head_dim);
  }
  config["max_position_embeddings"] = metadata.size("context_length");
  config["rms_norm_eps"] = metadata.at("attention.layer_norm_rms_epsilon").as_double();
  const TensorView& embedding = metadata.tensor("token_embd.weight");
  if (embedding.shape.size() != 2) embedding.fail("expected a matrix");
  config["vocab_size"] = embedding.shape[0];
  if (const GgufValue* size = metadata.find("vocab_size"))
    if (size->as_int(0, INT32_MAX) != embedding.shape[0])
      size->fail(std::to_string(size->as_int(0, INT32_MAX)) + " contradicts the " +
                 std::to_string(embedding.shape[0]) + " rows of token_embd.weight");
  config["tie_word_embeddings"] = metadata.find_tensor("output.weight") == nullptr;
  config["dtype"] = embedding.dtype == TensorDtype::F32   ? "float32"
                    : embedding.dtype == TensorDtype::F16 ? "float16"
                                                          : "bfloat16";
}

// The factor by which frequency i of Llama 3.1's rotary embedding is divided.
double llama3_factor(double theta, std::int64_t head_dim, std::size_t i, double factor) {
  constexpr double kLow = 1.0, kHigh = 4.0, kContext = 8192.0;
  const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  const double wavelength = 2.0 * 3.14159265358979323846 / frequency;
  if (wavelength < kContext / kHigh) return 1.0;
  if (wavelength > kContext / kLow) return factor;
  const double smooth = (kContext / wavelength - kLow) / (kHigh - kLow);
  return 1.0 / ((1.0 - smooth) / factor + smooth);
}

// The converter writes Llama 3.1's rope_scaling as the factors that come out of it. The last is `factor`
// itself; the other parameters are the same in every model that was published with it, which the factors must
// confirm.
Json llama3_scaling(const TensorView& factors, double theta, std::int64_t head_dim) {
  const std::vector<float> values = factors.to_floats();
  if (values.empty() || values.size() != static_cast<std::size_t>(head_dim / 2))
    factors.fail("expected " + std::to_string(head_dim / 2) + " numbers, found " +
                 std::to_string(values.size()));
  const double factor = static_cast<double>(values.back());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double expected = llama3_factor(theta, head_dim, i, factor);
    if (!(std::abs(static_cast<double>(values[i]) - expected) <= 1e-3 * expected))
      throw Error(ErrorCode::unsupported,
                  "has factors that are not those of Llama 3.1 (number " + std::to_string(i) + " is " +
                      std::to_string(values[i]) + ", expected " + std::to_string(expected) + ")",
                  factors.file + ": tensor " + factors.name);
  }
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", 4.0},
          {"original_max_position_embeddings", 8192}};
}

// Phi-3's converter writes two tensors of factors; it may leave out the type.
bool has_longrope(const GgufMetadata& metadata) {
  const GgufValue* type = metadata.find("rope.scaling.type");
  return metadata.architecture() == "phi3" &&
         (type ? type->as_string() == "longrope" : metadata.find_tensor("rope_factors_long.weight") != nullptr);
}

Json longrope_scaling(const GgufMetadata& metadata) {
  return {{"rope_type", "longrope"},
          {"short_factor", metadata.tensor("rope_factors_short.weight").to_floats()},
          {"long_factor", metadata.tensor("rope_factors_long.weight").to_floats()},
          {"original_max_position_embeddings", metadata.size("rope.scaling.original_context_length")},
          {"attention_factor", metadata.at("rope.scaling.attn_factor").as_double()}};
}

// A key that is not known here could change every frequency.
void refuse_other_scaling(const GgufMetadata& metadata) {
  constexpr std::array<std::string_view, 6> kKnown{"type",      "factor",         "original_context_length",
                                                   "finetuned", "yarn_beta_fast", "yarn_beta_slow"};
  constexpr std::array<std::string_view, 3> kFactors{"attn_factor", "yarn_attn_factor", "yarn_ext_factor"};
  const std::string prefix = metadata.architecture() + ".rope.scaling.";
  for (const GgufValue& value : metadata.contents().metadata) {
    if (!value.key().starts_with(prefix)) continue;
    const std::string_view name = std::string_view(value.key()).substr(prefix.size());
    if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) continue;
    if (name == "attn_factor" && has_longrope(metadata)) continue;
    const bool is_factor = std::find(kFactors.begin(), kFactors.end(), name) != kFactors.end();
    if (is_factor && value.as_double() == 1.0) continue;
    metadata.unsupported("rope.scaling." + printable(name),
                         is_factor ? "is not run here; run is 1" : "is not known here");
  }
}

Json yarn_scaling(const GgufMetadata& metadata, double factor) {
  Json scaling{{"rope_type", "yarn"},
               {"factor", factor},
               {"original_max_position_embeddings", metadata.size("rope.scaling.original_context_length")}};
  for (const char* beta : {"beta_fast", "beta_slow"})
    if (const GgufValue* value = metadata.find(std::string("rope.scaling.yarn_") + beta))
      scaling[beta] = value->as_double();
  return scaling;
}

void add_rope(const GgufMetadata& metadata, Json& config) {
  const GgufValue* base = metadata.find("rope.freq_base");
  const double theta = base ? base->as_double() : 10000.0;
  config["rope_theta"] = theta;
  refuse_other_scaling(metadata);
  if (has_longrope(metadata)) {
    config["rope_scaling"] = longrope_scaling(metadata);
    return;
  }
  // Without a type a factor is linear; files of Llama 2 have it under the second name.
  const char* factor_key = metadata.find("rope.scale_linear") ? "rope.scale_linear" : "rope.scaling.factor";
  const GgufValue* type = metadata.find("rope.scaling.type");
  const std::string name(type ? type->as_string() : metadata.find(factor_key) ? "linear" : "none");
  if (const TensorView* factors = metadata.find_tensor("rope_freqs.weight")) {
    if (name != "none")
      metadata.unsupported(type ? "rope.scaling.type" : factor_key,
                           "beside the factors of rope_freqs.weight is not run here");
    config["rope_scaling"] = llama3_scaling(*factors, theta, config["head_dim"].get<std::int64_t>());
  } else if (name == "linear") {
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", metadata.at(factor_key).as_double()}};
  } else if (name == "yarn") {
    config["rope_scaling"] = yarn_scaling(metadata, metadata.at(factor_key).as_double());
  } else if (name != "none") {
    metadata.unsupported("rope.scaling.type",
                         "\"" + printable(name) + "\" is not run here; run are none, linear, yarn");
  }
}

void add_gemma(const GgufMetadata& metadata, Json& config) {
  const bool third = metadata.architecture() == "gemma3";
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["sliding_window"] = metadata.size("attention.sliding_window");
  // The file does not say what the scores are divided by: the root of head_dim but for the largest of each.
  const auto number = [&](const char* key) { return config[key].get<std::int64_t>(); };
  const bool largest = number("num_hidden_layers") == (third ? 62 : 46);
  config["query_pre_attn_scalar"] =
      largest ? number("hidden_size") / number("num_attention_heads") : number("head_dim");
  // Every so many layers, one has no window.
  const char* pattern = "attention.sliding_window_pattern";
  const std::int64_t usual = third ? 6 : 2, period = metadata.find(pattern) ? metadata.size(pattern) : usual;
  if (!third && period != usual)
    metadata.unsupported(pattern, std::to_string(period) + " is not run here; run is 2");
  if (third) {
    config["sliding_window_pattern"] = period;
    const GgufValue* local = metadata.find("rope.freq_base_swa");
    config["rope_local_base_freq"] = local ? local->as_double() : 10000.0;
    if (!metadata.find("rope.freq_base")) config["rope_theta"] = 1000000.0;
  }
  const auto cap = [&](const char* key, const char* member) {
    if (const GgufValue* value = metadata.find(key)) config[member] = value->as_double();
  };
  cap("attn_logit_softcapping", "attn_logit_softcapping");
  cap("final_logit_softcapping", "final_logit_softcapping");
}

constexpr std::int64_t kMostExperts = 1 << 14;  // as a config may have

// Experts weigh by a softmax, and those that are chosen by their share of it.
void add_experts(const GgufMetadata& metadata, Json& config) {
  const auto refuse_unless_one = [&](const char* key) {
    if (const GgufValue* value = metadata.find(key); value && value->as_double() != 1.0)
      metadata.unsupported(key, "is not run here; run is 1");
  };
  refuse_unless_one("expert_gating_func");  // the softmax
  refuse_unless_one("expert_weights_scale");
  config["num_local_experts"] = metadata.at("expert_count").as_int(1, kMostExperts);
  config["num_experts_per_tok"] = metadata.size("expert_used_count");
  // Where the file does not say so, as every published model of these families does it.
  const GgufValue* norm = metadata.find("expert_weights_norm");
  config["norm_topk_prob"] = !norm || norm->as_bool();
  if (metadata.architecture() == "llama") {
    if (norm && !norm->as_bool())
      metadata.unsupported("expert_weights_norm", "false is not run here; run is true");
    return;
  }
  config["moe_intermediate_size"] = metadata.size("expert_feed_forward_length");
  std::set<std::string_view> routers;
  for (const TensorView& tensor : metadata.contents().tensors)
    if (tensor.name.ends_with(".ffn_gate_inp.weight")) routers.insert(tensor.name);
  const std::int64_t layers = metadata.size("block_count");
  if (layers > static_cast<std::int64_t>(metadata.contents().tensors.size()))
    metadata.at("block_count").fail(std::to_string(layers) + " layers are more than there are tensors");
  config["mlp_only_layers"] = Json::array();
  for (std::int64_t layer = 0; layer < layers; ++layer)
    if (!routers.contains("blk." + std::to_string(layer) + ".ffn_gate_inp.weight"))
      config["mlp_only_layers"].push_back(layer);
}

// What a family has beside the decoder that all are.
void add_family(const GgufMetadata& metadata, const Family& family, Json& config,
                std::vector<std::string>& notices) {
  const std::string_view name = family.model_type;
  const auto among = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const auto has = [&](const char* tensor) { return metadata.find_tensor(tensor) != nullptr; };
  if (among({"gemma2", "gemma3_text"}))
    add_gemma(metadata, config);
  else
    config["hidden_act"] = "silu";
  if (among({"qwen2", "qwen3", "qwen3_moe", "smollm3"})) config["use_sliding_window"] = false;
  if (among({"llama", "qwen3", "qwen3_moe", "smollm3"})) config["attention_bias"] = has("blk.0.attn_q.bias");
  if (among({"llama", "smollm3"})) config["mlp_bias"] = has("blk.0.ffn_down.bias");
  if (among({"mixtral", "qwen3_moe"})) add_experts(metadata, config);
  // llama.cpp counts the same layers; the file does not.
  if (name == "smollm3") config["no_rope_layer_interval"] = 4;
  constexpr const char* kWindow = "attention.sliding_window";
  const GgufValue* window = metadata.find(kWindow);
  const bool none = name == "phi3" && window && window->as_int(0, INT32_MAX) == 0;
  if (among({"llama", "mixtral", "phi3"}) && window && !none) config["sliding_window"] = metadata.size(kWindow);
  if (name == "phi3" && !window)
    notices.push_back(
        std::string("metadata phi3.") + kWindow +
        " is missing: no layer has a window, as in llama.cpp; Phi-3-mini-4k was trained with one of "
        "2047 tokens");
}

// Every token that ends an answer, as llama.cpp ends one: of the text, of a turn, of a message.
void add_end_tokens(const GgufMetadata& metadata, Json& config) {
  const std::int64_t last = config["vocab_size"].get<std::int64_t>() - 1;
  Json ids = Json::array();
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"})
    if (const GgufValue* value = metadata.contents().find(std::string("tokenizer.ggml.") + key)) {
      const std::int64_t id = value->as_int(0, last);
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
  if (!ids.empty()) config["eos_token_id"] = ids;
  if (const GgufValue* value = metadata.contents().find("tokenizer.ggml.bos_token_id"))
    config["bos_token_id"] = value->as_int(0, last);
}

}  // namespace

std::string gguf_config_json(const GgufContents& contents, const std::string& file,
                             std::vector<std::string>& notices) {
  const GgufMetadata metadata(contents, file);
  const Family& family = find_family(metadata, file);
  if (const GgufValue* count = metadata.contents().find("split.count"); count && count->as_int(0, 65535) > 1)
    throw Error(ErrorCode::unsupported,
                "is one of " + std::to_string(count->as_int(0, 65535)) +
                    " files of a split model, which is not read here: join them (llama-gguf-split --merge)",
                file + ": metadata split.count");
  Json config;
  config["architectures"] = {family.class_name};
  config["model_type"] = family.model_type;
  add_shape(metadata, config);
  add_rope(metadata, config);
  add_family(metadata, family, config, notices);
  add_end_tokens(metadata, config);
  return config.dump();
}

}  // namespace octet::files
