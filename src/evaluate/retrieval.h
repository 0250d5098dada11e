// Retrieval: whether a model still finds a needle that stands far back in its cache.
#pragma once

#include <cstdint>
#include <vector>

#include "evaluate/drift.h"
#include "evaluate/subject.h"

namespace octet::evaluate {

struct NeedlePrompt {
  TokenIds prompt;  // haystack with the needle, then the question up to where the answer begins
  TokenIds answer;  // what should follow; not empty
};

struct NeedleScore {
  double logprob;  // of the whole answer, nats
  bool found;      // greedy decoding gives exactly the answer
};

// The cache holds one sequence of prompt and answer.
NeedleScore score_needle(const Subject& subject, const NeedlePrompt& needle);

}  // namespace octet::evaluate
