// Picking the best of a vocabulary without sorting it.
//
// One order everywhere: the higher score first, then the lower id. Every cut is described by the last token
// kept, so that a filter can keep the candidates in id order and a seed draws the same token on every
// standard library.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace octet::engine {

// A token with its logit, or with its weight: an unnormalised probability.
struct ScoredToken {
  float score;
  std::int32_t id;
};

constexpr bool comes_before(const ScoredToken& a, const ScoredToken& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

// The largest logit and the lowest id that has it. Throws Error{internal} where a logit is NaN or +infinity,
// or where none is finite.
ScoredToken largest_logit(std::span<const float> logits);

// The first `count` tokens in order, fewer where fewer are above -infinity; unsorted, except that the last
// of them in order stands at the back. Linear in the vocabulary.
void select_top(std::span<const float> logits, std::size_t count, std::vector<ScoredToken>& top);

// The last token of the smallest set whose share of `total` is at least top_p (0 < top_p < 1), taken in
// order. `weights` is not empty and sums to `total`; `scratch` is overwritten. Expected linear time.
ScoredToken last_of_nucleus(std::span<const ScoredToken> weights, double total, double top_p,
                            std::vector<ScoredToken>& scratch);

}  // namespace octet::engine
