// The bodies of POST /v1/completions, /tokenize and /detokenize.
#pragma once

#include <octet/async_llm.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/sampling_fields.h"

namespace octet::server {

struct CompletionRequest {
  AnswerOptions answer;
  std::vector<Prompt> prompts;  // texts or token ids, one or more
  SamplingParams params;
  bool add_special_tokens = true;
  bool echo = false;
  bool prompt_only = false;      // echo with max_tokens 0: params ask for a token, which is not said
  bool prompt_logprobs = false;  // vLLM's, beside those of an echo
};

// Throws ApiError 400 naming the field's path, such as prompt[1][3].
CompletionRequest parse_completion_request(std::string_view body, const SamplingParams& defaults);

struct TokenizeRequest {
  std::string model;
  std::optional<std::string> prompt;  // exactly one of the two
  std::optional<ChatPrompt> chat;
  bool add_special_tokens = true;
  bool return_token_strs = false;
};
TokenizeRequest parse_tokenize_request(std::string_view body);

struct DetokenizeRequest {
  std::string model;
  std::vector<std::int32_t> tokens;
};
DetokenizeRequest parse_detokenize_request(std::string_view body);

}  // namespace octet::server
