// How long it takes from nothing to the first token.
#pragma once

#include <octet/bench.h>

namespace octet::llm {

// Makes an LLM with the first of `options.kv_cache_dtypes`, generates one token and gives it back, options.runs
// times. Throws Error as LLM's constructor does.
BenchStart measure_start(const BenchOptions& options);

}  // namespace octet::llm
