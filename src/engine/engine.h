// Engine: continuous batching over one Model and one KvCache. Speaks token ids only.
//
// Every step runs one batch: all running sequences decode one token, and what is left of the token budget
// prefills waiting prompts in chunks. When the cache is full the youngest running request gives its blocks
// back and is computed again later; the oldest always goes on, so none starves. Greedy results do not
// depend on what else is in the batch. Not thread-safe: one thread drives it.
#pragma once

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
};

class Engine {
 public:
  // Keeps references to both. Throws Error{out_of_memory} where the cache cannot hold one sequence of
  // max_model_len, naming both numbers of tokens and the bytes that it would need.
  Engine(model::Model& model, kv::KvCache& cache, EngineOptions options);
  ~Engine();

  // Throws Error{invalid_argument}: an empty prompt, a token id outside the vocabulary, a prompt of
  // max_model_len tokens or more (naming both numbers).
  RequestId add(Request request);
  // Ends a request at once and frees its blocks; unknown or finished ids are ignored.
  void cancel(RequestId id);
  bool has_unfinished() const;
  // Runs one batch; returns the new tokens (possibly none while prefilling).
  std::vector<TokenOutput> step();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::engine
