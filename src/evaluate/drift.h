// Greedy text, and where it parts from the baseline's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluate/subject.h"

namespace octet::evaluate {

using TokenIds = std::vector<std::int32_t>;

// The greedy continuation of every prompt, `new_tokens` each or up to and with the first of `end_tokens`; all
// prompts decode together. The cache holds prompts.size() sequences of the longest prompt and new_tokens.
std::vector<TokenIds> continue_greedily(const Subject& subject, std::span<const TokenIds> prompts,
                                        int new_tokens, std::span<const std::int32_t> end_tokens,
                                        const Progress& progress);

struct Drift {
  int first_difference;  // index of the first token that differs; the baseline's length where none does
  int in_common;         // length of the longest common subsequence: tokens that a diff would keep
};
Drift compare_continuations(std::span<const std::int32_t> baseline, std::span<const std::int32_t> other);

}  // namespace octet::evaluate
