// The sampler: logits to one token. A pure function of the logits, the request's tokens and its generator.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "engine/request.h"
#include "engine/selection.h"

namespace octet::engine {

// What sample() works in. One an engine, not one a request: each of its lists may grow to the vocabulary.
struct SamplerScratch {
  std::vector<ScoredToken> likeliest;                           // for logprobs, best first
  std::vector<ScoredToken> top;                                 // for top_k
  std::vector<ScoredToken> candidates;                          // what may be drawn: weights, in id order
  std::vector<ScoredToken> nucleus;                             // for last_of_nucleus()
  std::vector<std::int32_t> marks;                              // [vocab], all zero between calls
  std::vector<std::int32_t> marked;                             // ids whose mark is not zero
  std::vector<std::pair<std::int32_t, float>> original_logits;  // of masked and penalised tokens
};

// The log-probabilities of `token` and of the `count` likeliest, best first, `token` not twice. Throws
// Error{internal} where the logits have a NaN or no finite value.
std::vector<TokenLogprob> token_logprobs(std::span<const float> logits, std::int32_t token, int count,
                                         SamplerScratch& scratch);

// One a request, so that a seeded request gives the same tokens alone and in a full batch.
class Sampler {
 public:
  // Without a seed, one is drawn from the system.
  explicit Sampler(const Sampling& sampling);

  // Chooses the next token. In vLLM's order: logprobs from the raw logits; tokens in `forbidden` masked; biases
  // added; repetition (prompt and output), frequency and presence (output only) penalties; greedy if
  // temperature is below 1e-5; else temperature, min_p, top_k, top_p, draw. Ties go to the lower id, also at
  // the edge of top_k, which keeps exactly that many. Greedy takes nothing from the generator, a draw one
  // number. `logits` [vocab] is scratch afterwards; every id is inside the vocabulary. `logprobs` is filled
  // where the request asks for them, and may be null where it does not. Throws Error{internal} where the logits
  // have a NaN or no finite value.
  // Source: vLLM 0.11, vllm/v1/sample.
  std::int32_t sample(std::span<float> logits, std::span<const std::int32_t> prompt,
                      std::span<const std::int32_t> output, std::span<const std::int32_t> forbidden,
                      SamplerScratch& scratch, std::vector<TokenLogprob>* logprobs);

 private:
  bool is_greedy() const;
  void penalise(std::span<float> logits, std::span<const std::int32_t> prompt,
                std::span<const std::int32_t> output, SamplerScratch& scratch) const;
  void gather_candidates(std::span<const float> logits, float largest, SamplerScratch& scratch) const;
  std::int32_t draw(SamplerScratch& scratch);

  Sampling sampling_;
  std::mt19937_64 generator_;
};

}  // namespace octet::engine
