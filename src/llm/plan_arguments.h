// A planned cache as arguments: for octet generate and serve, and for vllm serve where vLLM has such a cache.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llm/evaluation_config.h"

namespace octet::llm {

// Why vLLM cannot run a configuration; empty where it can.
std::string why_not_vllm(const EvaluationConfig& config);

// The directory first. Both take the flags of the cache, kv_budget bytes and max_model_len tokens (0: not
// given).
std::vector<std::string> octet_arguments(const EvaluationConfig& config, std::int64_t kv_budget,
                                         std::int64_t max_model_len);
std::vector<std::string> vllm_arguments(const EvaluationConfig& config, std::int64_t kv_budget,
                                        std::int64_t max_model_len);

}  // namespace octet::llm
