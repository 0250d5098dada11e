// Sequence: one answer of one request while the engine works on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/request.h"
#include "engine/sampler.h"
#include "kv/block_pool.h"

namespace octet::engine {

// The blocks of one sequence in one group of the cache's layers.
struct BlockTable {
  std::vector<kv::BlockId> blocks = {};  // of positions [0, computed), and of those computed in this step
  std::size_t num_freed = 0;  // the first so many lie behind the group's window: given back, and 0 here
};

struct Sequence {
  RequestId id;
  std::vector<std::int32_t> tokens;  // the prompt, then what was generated
  std::size_t prompt_size;
  int computed = 0;                // tokens whose keys and values are in the cache
  std::vector<BlockTable> tables;  // [groups], once the scheduler has it
  // What the pool calls the contents of the first so many blocks, all of them full.
  std::vector<kv::ContentId> contents;
  int cached = 0;        // prompt tokens that were found in the cache
  bool met = false;      // it was looked up in the cache before
  bool resumed = false;  // it was preempted before
  int granted = 0;       // tokens that the scheduler gives it in the step at hand
  int max_tokens;
  int min_tokens;
  std::vector<std::int32_t> stop_token_ids;
  Sampler sampler;
  std::unique_ptr<TokenMatcher> matcher;  // where the answer has a grammar: stands behind its last token
  bool wants_logprobs;
  int num_prompt_logprobs;  // as the request's; -1 also when they were given out
  std::vector<std::vector<TokenLogprob>> prompt_logprobs =
      {};  // of tokens 1, 2, … of the prompt, as far as it is
  // The other answers to the same prompt, until it is computed; then they go on by themselves.
  std::vector<std::unique_ptr<Sequence>> siblings;

  Sequence(RequestId request_id, Request request)
      : id(request_id),
        tokens(std::move(request.prompt)),
        prompt_size(tokens.size()),
        max_tokens(request.max_tokens),
        min_tokens(request.min_tokens),
        stop_token_ids(std::move(request.stop_token_ids)),
        sampler(request.sampling),
        matcher(request.grammar ? request.grammar->start() : nullptr),
        wants_logprobs(request.sampling.logprobs >= 0),
        num_prompt_logprobs(request.prompt_logprobs) {}

  int size() const { return static_cast<int>(tokens.size()); }
  // Tokens to compute before the next one can be sampled: 1 while decoding.
  int remaining() const { return size() - computed; }
  // Whether logits of its prompt are still wanted, so that none of it may be skipped.
  bool needs_prompt_logits() const {
    return num_prompt_logprobs >= 0 && prompt_logprobs.size() + 1 < prompt_size;
  }
  int num_generated() const { return static_cast<int>(tokens.size() - prompt_size); }
  std::span<const std::int32_t> prompt() const { return std::span(tokens).first(prompt_size); }
  std::span<const std::int32_t> output() const { return std::span(tokens).subspan(prompt_size); }
};

}  // namespace octet::engine
