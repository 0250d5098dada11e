// The body of POST /v1/chat/completions.
#pragma once

#include <octet/async_llm.h>

#include <string>
#include <string_view>

#include "server/sampling_fields.h"
#include "server/tool_call_parser.h"

namespace octet::server {

struct ChatRequest {
  AnswerOptions answer;
  ChatPrompt chat;
  SamplingParams params;
  std::string max_tokens_field = "max_tokens";  // or max_completion_tokens, where that was given
  bool add_special_tokens = false;
  bool logprobs = false;
  int top_logprobs = 0;
  // How calls of the tools look; none where no tool was given or none may be called.
  ToolCallFormat tool_calls = ToolCallFormat::none;
  std::string tool_function;        // whose arguments the answer is, with ToolCallFormat::arguments
  bool parallel_tool_calls = true;  // false: one call in an answer at most
};

// Throws ApiError 400 naming the field's path, such as messages[0].content. `defaults` are the checkpoint's.
ChatRequest parse_chat_request(std::string_view body, const SamplingParams& defaults,
                               const ToolCallOptions& tools);

// messages, tools, chat_template_kwargs and what else makes a prompt of a conversation.
ChatPrompt read_chat_prompt(const Fields& fields);

}  // namespace octet::server
