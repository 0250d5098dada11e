// From a conversation to the prompt that a checkpoint's chat template makes of it.
#pragma once

#include <octet/async_llm.h>
#include <octet/llm.h>

#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octet::llm {

// The variables that transformers gives to a chat template, as a JSON object: messages,
// add_generation_prompt (true), tools and documents (null), and the special tokens that exist.
std::string chat_variables(const std::vector<ChatMessage>& conversation, const text::Tokenizer& tokenizer);

// The same for messages and tools that are JSON already (tools: "null" for none).
std::string messages_variables(std::string_view messages_json, std::string_view tools_json,
                               bool add_generation_prompt, const text::Tokenizer& tokenizer);

// Renders a conversation that is JSON. Throws Error{invalid_argument}: what is not JSON of that shape, with the
// field and its path, a further variable of a name that a template has already, or what the template refuses.
std::string render_chat(const text::ChatTemplate& chat_template, const ChatPrompt& chat,
                        const text::Tokenizer& tokenizer);

// Renders `conversation` with the generation prompt. `what` names it in errors ("conversation 2").
// Throws Error{invalid_argument}: no messages, invalid UTF-8, or what the template itself refuses.
std::string render_chat(const text::ChatTemplate& chat_template, const std::vector<ChatMessage>& conversation,
                        const text::Tokenizer& tokenizer, const std::string& what);

}  // namespace octet::llm
