// Which KV cache costs the least quality in a given memory: measured on the caller's text, not guessed.
//
// Every candidate is run beside a 16-bit cache; the best that fits is then improved by leaving in 16 bits the
// layers that lose most, as many as the memory has room for. Results are plain values. One thread calls.
#pragma once

#include <octet/error.h>
#include <octet/evaluation.h>

#include <cstdint>
#include <string>
#include <vector>

namespace octet {

struct CachePlanOptions {
  std::string model = {};  // a checkpoint directory
  // At least one of the two must be given.
  std::int64_t kv_budget = 0;      // bytes of cache; 0 = a quarter of the memory that is available now
  std::int64_t target_tokens = 0;  // that must fit; 0 = one sequence of max_position_embeddings

  // What to measure with, as EvaluationOptions has them; one of the two at least.
  std::vector<Prompt> documents = {};
  std::string dataset = {};
  // Candidates, as EvaluationOptions::configs; empty = every 8-bit dtype, and FP8 values with keys of int8 or
  // 16 bits.
  std::vector<std::string> configs = {};
  bool for_vllm = false;             // only caches that vLLM has
  int context = 0;                   // tokens a window; 0 = 2048, or max_position_embeddings where less
  std::int64_t max_tokens = 4096;    // of the documents for candidates and the plan itself; 0 = all
  std::int64_t layer_tokens = 1024;  // of the documents for each layer's measurement; at least 2

  int block_size = 64;   // tokens a block
  int threads = 0;       // 0 = physical cores
  std::string isa = {};  // forces a kernel table; empty = OCTET_ISA, then the fastest
};

// A cache as it was measured.
struct MeasuredCache {
  std::string config;  // as EvaluationOptions::configs
  std::string dtype;   // as stored
  std::string scale_source;
  std::string scale_strategy;
  std::int64_t bytes_per_token = 0;
  std::int64_t tokens = 0;  // that fit the budget, in whole blocks
  bool fits = false;        // target_tokens do
  double mean_kl = 0;       // nats, to the 16-bit cache
  double p99_kl = 0;
  double top1_agreement = 0;
  double perplexity = 0;
};

struct CachePlan {
  std::string model;
  std::int64_t kv_budget = 0;      // bytes, as used
  std::int64_t target_tokens = 0;  // as used
  MeasuredCache baseline;          // the 16-bit cache
  std::vector<MeasuredCache> candidates;
  std::string base;              // the candidate whose layers were measured; empty where none were
  std::vector<double> layer_kl;  // [num_layers] mean KL with that layer alone stored as in `base`; or empty
  MeasuredCache chosen;          // the plan, measured
  std::vector<int> skip_layers;  // of the plan
  std::vector<std::string> octet_arguments;  // for octet generate and serve, the directory first
  std::vector<std::string> vllm_arguments;   // for vllm serve; empty where vLLM has no such cache
  std::string vllm_note;                     // why they are empty
  bool complete = false;                     // false where the callback ended the measurement
};

// Throws Error as run_evaluation; invalid_argument without a budget and a target; out_of_memory where no
// candidate fits, naming the smallest and what it would need. Progress names "candidates", "layers", "plan".
OCTET_EXPORT CachePlan plan_cache(const CachePlanOptions& options,
                                  const EvaluationCallback& on_progress = nullptr);

}  // namespace octet
