// Log-probabilities in the two styles of OpenAI's APIs.
#pragma once

#include <octet/llm.h>

#include <vector>

#include "server/json_fields.h"

namespace octet::server {

// Chats: the elements of logprobs.content. `top` likeliest of each step, the chosen one among them only where
// it is one of them.
Json chat_logprobs(const std::vector<std::vector<Logprob>>& steps, int top, bool tokens_as_ids);

// Completions: tokens, token_logprobs, top_logprobs and text_offset (in characters), which grow step by step.
class CompletionLogprobs {
 public:
  CompletionLogprobs(std::size_t first_offset, bool tokens_as_ids)
      : offset_(first_offset), tokens_as_ids_(tokens_as_ids) {}
  // The object for these steps alone; offsets go on where the last call ended.
  Json steps(const std::vector<std::vector<Logprob>>& steps);

 private:
  std::size_t offset_;
  bool tokens_as_ids_;
};

std::size_t count_characters(const std::string& utf8);

}  // namespace octet::server
