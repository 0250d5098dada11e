#include "llm/chat_rendering.h"

#include <cstddef>
#include <string_view>

#include "base/error.h"
#include "llm/utf8.h"

namespace octet::llm {

namespace {

// A JSON string literal of valid UTF-8.
std::string quote(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string literal = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      literal += '\\';
      literal += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      literal += "\\u00";
      literal += kHex[(c >> 4) & 15];
      literal += kHex[c & 15];
    } else {
      literal += c;
    }
  }
  literal += '"';
  return literal;
}

void add_special_token(std::string& object, const char* name, const std::string& token) {
  // transformers leaves out the tokens that a tokenizer lacks, so that "is defined" tells them.
  if (token.empty()) return;
  object += ",\"" + std::string(name) + "\":" + quote(token);
}

}  // namespace

std::string messages_variables(std::string_view messages_json, std::string_view tools_json,
                               bool add_generation_prompt, const text::Tokenizer& tokenizer) {
  std::string object = "{\"messages\":";
  object.append(messages_json);
  object += std::string(",\"add_generation_prompt\":") + (add_generation_prompt ? "true" : "false");
  object.append(",\"tools\":").append(tools_json).append(",\"documents\":null");
  add_special_token(object, "bos_token", tokenizer.bos_token());
  add_special_token(object, "eos_token", tokenizer.eos_token());
  add_special_token(object, "unk_token", tokenizer.unk_token());
  add_special_token(object, "pad_token", tokenizer.pad_token());
  return object + "}";
}

std::string chat_variables(const std::vector<ChatMessage>& conversation, const text::Tokenizer& tokenizer) {
  std::string messages = "[";
  for (const ChatMessage& message : conversation)
    messages += (messages.size() > 1 ? ",{\"role\":" : "{\"role\":") + quote(message.role) +
                ",\"content\":" + quote(message.content) + "}";
  return messages_variables(messages + "]", "null", /*add_generation_prompt=*/true, tokenizer);
}

std::string render_chat(const text::ChatTemplate& chat_template, const std::vector<ChatMessage>& conversation,
                        const text::Tokenizer& tokenizer, const std::string& what) {
  if (conversation.empty())
    throw Error(ErrorCode::invalid_argument, "expected at least one message, found none", what);
  for (std::size_t i = 0; i < conversation.size(); ++i) {
    const std::string message = what + ", message " + std::to_string(i);
    require_utf8(conversation[i].role, message + ", role");
    require_utf8(conversation[i].content, message + ", content");
  }
  return chat_template.render(chat_variables(conversation, tokenizer));
}

}  // namespace octet::llm
