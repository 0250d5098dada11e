// What goes into the engine and what comes out: token ids only.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/token_grammar.h"

namespace octet::engine {

using RequestId = std::int64_t;

// How to pick tokens; the public SamplingParams less everything about text.
struct Sampling {
  double temperature = 1.0;  // 0 = greedy
  double top_p = 1.0;
  int top_k = 0;  // 0 = all
  double min_p = 0.0;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  double repetition_penalty = 1.0;
  std::optional<std::uint64_t> seed = std::nullopt;
  int logprobs = -1;  // -1 = none; else the chosen token and this many likeliest
  std::vector<std::pair<std::int32_t, float>> logit_bias = {};  // added to the logits of these tokens
};

struct Request {
  std::vector<std::int32_t> prompt = {};  // not empty
  Sampling sampling = {};
  int max_tokens = 16;                            // new tokens, at most
  int min_tokens = 0;                             // stop tokens are not sampled before that many
  std::vector<std::int32_t> stop_token_ids = {};  // end the sequence; kept in the output
  // Of each prompt token but the first: -1 = none; else that token and this many likeliest. The prompt is then
  // computed whole, whatever the cache holds of it.
  int prompt_logprobs = -1;
  // What every answer must be: nothing = any text. Its end tokens end an answer too.
  std::shared_ptr<const TokenGrammar> grammar = nullptr;
  int n = 1;  // answers to the prompt, each a sequence: a seed of the second is one higher, and so on
};

// Tokens of one step of a prompt that wants its logits: rows of them are as wide as the vocabulary, so it goes
// in small chunks.
inline constexpr int kMostPromptLogits = 64;

enum class FinishReason { none, stop, length, error };

struct TokenLogprob {
  std::int32_t token_id;
  float logprob;  // of the model's own distribution: before temperature and penalties
  int rank;       // 1 = likeliest
};

// One new token of one sequence, or the error that ended it.
struct TokenOutput {
  RequestId request;
  std::int32_t token_id;               // -1 with an error
  FinishReason finish_reason;          // none while it goes on
  std::vector<TokenLogprob> logprobs;  // the chosen token, then those likeliest that are not it, best first
  int cached_tokens = 0;               // of the prompt, that were found in the cache
  // With the request's first token, where asked for: [prompt tokens - 1], of the tokens from the second on.
  std::vector<std::vector<TokenLogprob>> prompt_logprobs = {};
  std::string error = {};
};

}  // namespace octet::engine
