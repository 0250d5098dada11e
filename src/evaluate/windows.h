// Cutting documents into the windows that a model reads, so that each token is scored exactly once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace octet::evaluate {

struct Window {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> targets;  // [ids]: the token that follows in the document; kNoTarget at its end
  int first_scored = 0;               // positions before it only give context
};

inline constexpr std::int32_t kNoTarget = -1;

// Windows of at most `context` tokens, of which all but the first begin with `prefix` (a BOS token, or nothing)
// and then the last context - stride tokens of the one before, as context that is not scored again.
// Requires 0 < stride <= context and prefix.size() < stride.
// Source: the strided perplexity of transformers' documentation.
std::vector<Window> cut_windows(std::span<const std::int32_t> document, std::span<const std::int32_t> prefix,
                                int context, int stride);

}  // namespace octet::evaluate
