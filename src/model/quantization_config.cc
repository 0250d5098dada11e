#include "model/quantization_config.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "model/config_fields.h"
#include "model/weight_quantization.h"

namespace octet::model {

namespace {

using files::JsonValue;

// The member must be absent, null, or `wanted` as JSON text.
void require(const JsonValue& object, const char* key, std::string_view wanted) {
  const auto value = object.find(key);
  if (value && value->dump() != wanted)
    refuse(*value, value->dump() + " is not run here; run is " + std::string(wanted));
}

// kv_cache_scheme as compressed-tensors and ModelOpt write it. Members about calibration (observer) and the
// types that scales are stored in say nothing about the cache.
void read_scheme(const JsonValue& scheme, CacheRequest& request) {
  if (scheme.is_string()) {  // AutoFP8: how, but always E4M3
    if (scheme.as_string() != "static") refuse(scheme, scheme.dump() + " is not run here; run is \"static\"");
    request.dtype = KvDtype::fp8_e4m3;
    return;
  }
  if (scheme.at("num_bits").as_int() != 8 || scheme.at("type").as_string() != "float")
    refuse(scheme, "asks for a cache of " + scheme.at("num_bits").dump() + "-bit " +
                       scheme.at("type").as_string() + "; run is 8-bit float");
  require(scheme, "dynamic", "false");
  require(scheme, "symmetric", "true");
  for (const char* key : {"group_size", "block_structure", "actorder"}) require(scheme, key, "null");
  if (const auto strategy = scheme.find("strategy")) {
    const std::string name = strategy->as_string();
    if (name != "tensor" && name != "attn_head")
      refuse(*strategy, strategy->dump() + " is not run here; run are \"tensor\", \"attn_head\"");
    request.strategy = name == "tensor" ? kv::ScaleStrategy::tensor : kv::ScaleStrategy::attn_head;
  }
  request.dtype = KvDtype::fp8_e4m3;
}

void read_kv_cache_algorithm(const JsonValue& object, CacheRequest& request) {
  const auto algorithm = object.find("kv_cache_quant_algo");
  if (!algorithm) return;
  if (algorithm->as_string() != "FP8")
    refuse(*algorithm, algorithm->dump() + " is not run here; run is \"FP8\"");
  request.dtype = KvDtype::fp8_e4m3;
}

// A module class such as LlamaAttention, or a pattern for the modules called self_attn.
bool is_attention(std::string_view target) {
  if (target.ends_with('$')) target.remove_suffix(1);
  return target.ends_with("Attention") || target.ends_with("self_attn");
}

// How recipes before kv_cache_scheme described the cache: as the outputs of these two.
bool is_kv_projection(std::string_view target) {
  if (target.ends_with('$')) target.remove_suffix(1);
  return target.ends_with("k_proj") || target.ends_with("v_proj");
}

// A group may state how attention's own values are quantised, which the cache's scheme covers, and how weights
// are stored. Activations of linear layers are kept as they are where their weights are quantised, and refused
// where they alone would be.
void check_group(const JsonValue& group) {
  if (!group.is_object()) refuse(group, "a preset of quantised layers is not run here");
  const bool has_weights = group.find("weights").has_value();
  if (has_weights) check_weight_scheme(group);
  for (const bool output : {false, true}) {
    const auto activations = group.find(output ? "output_activations" : "input_activations");
    if (!activations || (has_weights && !output)) continue;
    for (const JsonValue& target : group.at("targets").elements()) {
      const std::string name = target.as_string();
      if (!is_attention(name) && !(output && is_kv_projection(name)))
        refuse(*activations, "quantised activations of " + target.dump() + " are not run here");
    }
  }
}

void read_compressed_tensors(const JsonValue& config, CacheRequest& request) {
  if (const auto groups = config.find("config_groups"))
    for (const std::string& name : groups->keys())
      if (const auto group = groups->find(name)) check_group(*group);
  for (const char* key : {"sparsity_config", "transform_config"}) {
    const auto value = config.find(key);
    if (!value || value->keys().empty()) continue;
    const auto format = value->find("format");
    if (!format || format->as_string() != "dense") refuse(*value, "is not run here; it must be empty");
  }
  if (const auto scheme = config.find("kv_cache_scheme")) read_scheme(*scheme, request);
}

void read_config(const JsonValue& config, CacheRequest& request) {
  request.quant_method = config.at("quant_method").as_string();
  if (request.quant_method == "compressed-tensors") return read_compressed_tensors(config, request);
  if (request.quant_method != "fp8" && request.quant_method != "modelopt")
    refuse(config.at("quant_method"),
           config.at("quant_method").dump() + " is not run here; run are compressed-tensors, fp8, modelopt");
  if (const auto scheme = config.find("kv_cache_scheme")) read_scheme(*scheme, request);
  check_weight_algorithm(config);
  read_kv_cache_algorithm(config, request);
}

void read_hf_quant_config(const files::Checkpoint& checkpoint, CacheRequest& request) {
  const auto path = std::filesystem::path(checkpoint.directory()) / "hf_quant_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  const JsonValue file = JsonValue::read_file(path.string());
  check_weight_algorithm(file.at("quantization"));
  read_kv_cache_algorithm(file.at("quantization"), request);
  if (request.quant_method.empty()) request.quant_method = "modelopt";
}

}  // namespace

CacheRequest read_cache_request(const files::Checkpoint& checkpoint) {
  CacheRequest request;
  const JsonValue& config = checkpoint.config();
  auto quantization = config.find("quantization_config");
  if (!quantization) quantization = config.find("compression_config");  // compressed-tensors before 0.6
  if (quantization) read_config(*quantization, request);
  read_hf_quant_config(checkpoint, request);
  if (!request.quant_method.empty()) refuse_unknown_weights(checkpoint, request.quant_method);
  return request;
}

}  // namespace octet::model
