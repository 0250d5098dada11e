// A planned cache as arguments: for octet generate and serve, and for vllm serve where vLLM has such a cache.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llm/evaluation_config.h"

namespace octet::llm {

// Why vLLM cannot run a configuration; empty where it can.
std::string why_not_vllm(const EvaluationConfig& config);

struct PlannedSize {
  std::int64_t kv_budget;      // bytes
  std::int64_t max_model_len;  // tokens; 0 = not given
  int block_size;              // tokens; given where it is not LLMOptions' own
};

// The directory first, then the flags of the cache.
std::vector<std::string> octet_arguments(const EvaluationConfig& config, const PlannedSize& size);
std::vector<std::string> vllm_arguments(const EvaluationConfig& config, const PlannedSize& size);

}  // namespace octet::llm
