// Haystacks: English of our own making, with a pass key hidden in it and a question for it at the end.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "evaluate/retrieval.h"
#include "text/tokenizer.h"

namespace octet::llm {

// A plain sentence with a full stop; the same generator state gives the same sentence everywhere.
std::string make_sentence(std::mt19937_64& generator);

// A prompt and answer of at most `length` tokens together, less by no more than a sentence. The sentence with
// the pass key stands between two others after about `depth` percent of the haystack.
// Throws Error{invalid_argument} where `length` has no room for the needle and the question.
evaluate::NeedlePrompt make_needle(const text::Tokenizer& tokenizer, int length, int depth, std::uint64_t seed);

}  // namespace octet::llm
