// Engine: continuous batching over one Model and one KvCache. Speaks token ids only.
//
// Every step runs one batch: all running sequences decode one token, and what is left of the token budget
// prefills waiting prompts in chunks. When the cache is full the youngest running request gives its blocks
// back and is computed again later; the oldest always goes on, so none starves. Prompts that begin alike share
// the blocks of their beginning. No result depends on what else is in the batch or was in the cache. Not
// thread-safe: one thread drives it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/request.h"
#include "kv/kv_cache.h"
#include "model/forward.h"

namespace octet::engine {

struct EngineOptions {
  int max_num_seqs = 32;             // sequences in one step
  int max_num_batched_tokens = 512;  // tokens in one step
  int max_model_len = 0;             // tokens of prompt + output
  bool enable_prefix_caching = true;
  int admission_lookahead = 128;  // a request starts where all that run can add so many tokens beside it
};

// What the engine is doing, and how often the cache was too small for it.
struct EngineStats {
  int num_running = 0;
  int num_waiting = 0;                    // not started, or preempted
  std::int64_t num_preemptions = 0;       // since the engine was made
  std::int64_t num_steps = 0;             // batches run
  std::int64_t num_batch_tokens = 0;      // tokens computed in them, those computed again included
  std::int64_t prefix_cache_queries = 0;  // prompt tokens looked up in the cache
  std::int64_t prefix_cache_hits = 0;     // those found
  std::int64_t prompt_tokens = 0;         // of prompts that were computed to their end, cached ones included
  std::int64_t generation_tokens = 0;     // sampled
};

class Engine {
 public:
  // Keeps references to both; the pool's blocks are the engine's alone. Throws Error{out_of_memory} where
  // the cache cannot hold one sequence of max_model_len, naming both numbers of tokens and the bytes that it
  // would need; Error{invalid_argument} for an option that is not positive, or a max_model_len below 2 or
  // above the model's max_position_embeddings.
  Engine(model::Model& model, kv::KvCache& cache, EngineOptions options);
  ~Engine();

  // Throws Error{invalid_argument}: an empty prompt, a token id outside the vocabulary, a prompt of
  // max_model_len tokens or more (naming both numbers), max_tokens below 1, min_tokens with stop tokens that
  // leave nothing to sample, n outside 1 to kMostAnswers, a bias of a token outside the vocabulary. Stop tokens
  // outside the vocabulary are ignored: they can never be sampled. Returns the first sequence's id; with n
  // above 1 the others have the ids behind it.
  static constexpr int kMostAnswers = 1024;
  RequestId add(Request request);
  // Throws as add(); may be called from any thread.
  void check(const Request& request) const;
  // Ends one sequence at once and frees its blocks; unknown or finished ids are ignored.
  void cancel(RequestId id);
  bool has_unfinished() const;
  // Runs one batch; returns the new tokens (possibly none while prefilling). A sequence ends with a stop
  // token, with max_tokens, when prompt and output are max_model_len tokens long, or with an error where the
  // model's logits for it are not finite. Whatever else goes wrong is thrown, and ends every request.
  std::vector<TokenOutput> step();
  EngineStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::engine
