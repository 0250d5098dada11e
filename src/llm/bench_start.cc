#include "llm/bench_start.h"

#include <octet/llm.h>

#include <chrono>
#include <utility>
#include <vector>

namespace octet::llm {

BenchStart measure_start(const BenchOptions& options) {
  LLMOptions wanted;
  wanted.model = options.model;
  wanted.dtype = options.dtype;
  wanted.kv_cache_dtype = options.kv_cache_dtypes.front();
  wanted.kv_cache_dtype_k = options.kv_cache_dtype_k;
  wanted.kv_cache_dtype_v = options.kv_cache_dtype_v;
  wanted.kv_cache_dtype_skip_layers = options.kv_cache_dtype_skip_layers;
  wanted.attention_math = options.attention_math;
  wanted.block_size = options.block_size;
  wanted.safetensors_load_strategy = options.safetensors_load_strategy;
  wanted.quantization = options.quantization;
  wanted.threads = options.threads;
  wanted.isa = options.isa;
  SamplingParams one_token;
  one_token.max_tokens = 1;
  one_token.temperature = 0;

  std::vector<double> load, first_token;
  for (int run = 0; run < options.runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    const auto passed = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    LLM llm(wanted);
    load.push_back(passed());
    llm.generate(Prompt("The capital of France is"), one_token);
    first_token.push_back(passed());
  }
  return {summarize_rates(std::move(load)), summarize_rates(std::move(first_token))};
}

}  // namespace octet::llm
