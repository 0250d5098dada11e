#include "llm/plan_arguments.h"

#include <octet/llm.h>

#include <algorithm>
#include <cstddef>

namespace octet::llm {

namespace {

void add(std::vector<std::string>& arguments, const char* flag, const std::string& value) {
  if (!value.empty()) arguments.insert(arguments.end(), {flag, value});
}

// The layers, in the items of the option or in lists within them, one by one.
std::vector<std::string> skipped_layers(const EvaluationConfig& config) {
  std::vector<std::string> layers;
  for (const std::string& list : config.cache.kv_cache_dtype_skip_layers)
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t comma = std::min(list.find(',', begin), list.size());
      layers.push_back(list.substr(begin, comma - begin));
      begin = comma + 1;
    }
  return layers;
}

void add_size(std::vector<std::string>& arguments, const PlannedSize& size) {
  add(arguments, "--kv-cache-memory-bytes", std::to_string(size.kv_budget));
  if (size.max_model_len > 0) add(arguments, "--max-model-len", std::to_string(size.max_model_len));
  if (size.block_size != LLMOptions().block_size)
    add(arguments, "--block-size", std::to_string(size.block_size));
}

}  // namespace

// Why vLLM cannot run a configuration; empty where it can.
std::string why_not_vllm(const llm::EvaluationConfig& config) {
  const KvCacheDtypeOptions& cache = config.cache;
  if (!cache.kv_cache_dtype_k.empty() || !cache.kv_cache_dtype_v.empty())
    return "vLLM stores keys and values in one dtype";
  if (!config.calculate_kv_scales.empty())
    return "vLLM calculates no such scales; octet calibrate writes scales that it takes";
  if (config.attention_math != "fp32")
    return "vLLM's attention computes as its backend does; it has no --attention-math";
  if (config.quantization == "int8") return "vLLM has no --quantization int8";
  if (cache.kv_cache_dtype.find("hadamard") != std::string::npos) return "vLLM has no " + cache.kv_cache_dtype;
  return {};
}

std::vector<std::string> octet_arguments(const EvaluationConfig& config, const PlannedSize& size) {
  const EvaluationConfig defaults;
  std::vector<std::string> arguments = {config.directory};
  add(arguments, "--kv-cache-dtype", config.cache.kv_cache_dtype);
  add(arguments, "--kv-cache-dtype-k", config.cache.kv_cache_dtype_k);
  add(arguments, "--kv-cache-dtype-v", config.cache.kv_cache_dtype_v);
  std::string skipped;
  for (const std::string& layer : skipped_layers(config)) skipped += (skipped.empty() ? "" : ",") + layer;
  add(arguments, "--kv-cache-dtype-skip-layers", skipped);
  // With =, since the flag may stand without a value.
  if (!config.calculate_kv_scales.empty()) {
    arguments.push_back("--calculate-kv-scales=" + config.calculate_kv_scales);
    add(arguments, "--kv-scale-strategy", config.kv_scale_strategy);
  }
  if (config.attention_math != defaults.attention_math)
    add(arguments, "--attention-math", config.attention_math);
  if (config.dtype != defaults.dtype) add(arguments, "--dtype", config.dtype);
  add(arguments, "--quantization", config.quantization);
  add_size(arguments, size);
  return arguments;
}

// vLLM's flag of layers takes several values.
std::vector<std::string> vllm_arguments(const EvaluationConfig& config, const PlannedSize& size) {
  std::vector<std::string> arguments = {config.directory};
  add(arguments, "--kv-cache-dtype", config.cache.kv_cache_dtype);
  const std::vector<std::string> skipped = skipped_layers(config);
  if (!skipped.empty()) {
    arguments.push_back("--kv-cache-dtype-skip-layers");
    arguments.insert(arguments.end(), skipped.begin(), skipped.end());
  }
  if (config.dtype != EvaluationConfig().dtype) add(arguments, "--dtype", config.dtype);
  add(arguments, "--quantization", config.quantization);
  add_size(arguments, size);
  return arguments;
}

}  // namespace octet::llm
