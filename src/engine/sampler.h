// The sampler: logits to one token. A pure function of the logits, the request's tokens and its generator.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "engine/request.h"

namespace octet::engine {

// One a request, so that a seeded request gives the same tokens alone and in a full batch.
class Sampler {
 public:
  // Without a seed, one is drawn from the system.
  explicit Sampler(const Sampling& sampling);

  // Chooses the next token. In vLLM's order: logprobs from the raw logits; tokens in `forbidden` masked;
  // repetition (prompt and output), frequency and presence (output only) penalties; greedy if temperature
  // is 0; else temperature, min_p, top_k, top_p, draw. Ties go to the lower id. `logits` [vocab] is
  // scratch afterwards. Throws Error{internal} if no logit is finite.
  std::int32_t sample(std::span<float> logits, std::span<const std::int32_t> prompt,
                      std::span<const std::int32_t> output, std::span<const std::int32_t> forbidden,
                      std::vector<TokenLogprob>* logprobs);

 private:
  Sampling sampling_;
  std::mt19937_64 generator_;
  std::vector<std::int32_t> candidates_;
};

}  // namespace octet::engine
