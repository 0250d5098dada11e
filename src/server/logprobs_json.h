// Log-probabilities in the two styles of OpenAI's APIs.
#pragma once

#include <octet/llm.h>

#include <vector>

#include "server/json_fields.h"

namespace octet::server {

// Chats: the elements of logprobs.content. `top` likeliest of each step, the chosen one among them only where
// it is one of them.
Json chat_logprobs(const std::vector<std::vector<Logprob>>& steps, int top, bool tokens_as_ids);

// Completions: tokens, token_logprobs, top_logprobs and text_offset (in characters), which grow step by step,
// offsets from the beginning of the text that is sent, an echoed prompt included.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(bool tokens_as_ids) : tokens_as_ids_(tokens_as_ids) {}
  // The same for a prompt that is repeated: its first token has no log-probability.
  Json prompt(const std::string& first_token, const std::vector<std::vector<Logprob>>& tokens);
  // The object for these steps alone; offsets go on where the last call ended.
  Json steps(const std::vector<std::vector<Logprob>>& steps);

 private:
  std::size_t offset_ = 0;
  bool tokens_as_ids_;
};

// vLLM's prompt_logprobs: null for the first token, then an object a token, from ids to log-probabilities.
Json prompt_logprobs(const std::vector<std::vector<Logprob>>& tokens);

std::size_t count_characters(const std::string& utf8);

}  // namespace octet::server
