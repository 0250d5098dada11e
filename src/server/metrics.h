// The engine's figures in Prometheus' text format, under vLLM's names.
#pragma once

#include <octet/async_llm.h>

#include <string>

namespace octet::server {

// `prefix` stands before each name, as "octet:" or "vllm:". Counters begin at 0 with the process.
std::string metrics_text(const std::string& prefix, const std::string& model, const AsyncLLMStats& stats,
                         const KvCacheStats& cache, bool prefix_caching);

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace octet::server
