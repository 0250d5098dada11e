// SamplingParams: how the next token is chosen, with vLLM's names, meanings and defaults.
//
// A plain value; check it with validate() (generate() does).
#pragma once

#include <octet/error.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace octet {

// The form that an answer must have: exactly one of these.
struct StructuredOutputsParams {
  std::optional<std::string> json =
      {};  // a JSON schema as text, of keywords that are enforced: docs/serving.md
  std::optional<std::string> regex = {};                // an expression that all of the answer matches
  std::optional<std::vector<std::string>> choice = {};  // one of these texts
  bool json_object = false;                             // any JSON object
};

struct SamplingParams {
  int n = 1;                       // 1..1024 answers to the prompt; with a seed, answer i draws with seed + i
  double presence_penalty = 0.0;   // -2..2, subtracted once from the logit of every token already generated
  double frequency_penalty = 0.0;  // -2..2, subtracted once for each time it was generated
  double repetition_penalty =
      1.0;  // > 0; divides positive and multiplies negative logits of tokens in prompt or output
  double temperature = 1.0;  // 0 = greedy
  double top_p = 1.0;        // (0, 1]
  int top_k = 0;             // 0 or -1 = all
  double min_p = 0.0;        // [0, 1], relative to the likeliest token
  std::optional<std::uint64_t> seed = {};
  std::vector<std::string> stop = {};  // generation ends before the first of these
  std::vector<std::int32_t> stop_token_ids = {};
  bool include_stop_str_in_output = false;
  bool ignore_eos = false;
  std::optional<int> max_tokens = 16;  // nothing = up to max_model_len
  int min_tokens = 0;
  // At each step the chosen token and these many likeliest (the chosen one is not listed twice).
  std::optional<int> logprobs = {};
  // Of every token of the prompt but the first, it and these many likeliest; computes all of the prompt,
  // whatever the prefix cache holds.
  std::optional<int> prompt_logprobs = {};
  // Added to the logits of these tokens, -100..100.
  std::map<std::int32_t, double> logit_bias = {};
  bool skip_special_tokens = true;
  // Tokens that lead away from this form are never chosen, and those that end the text only where it is
  // complete.
  std::optional<StructuredOutputsParams> structured_outputs = {};

  // Throws Error{invalid_argument} naming the field, what is allowed and what was found.
  OCTET_EXPORT void validate() const;
};

}  // namespace octet
