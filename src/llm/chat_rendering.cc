#include "llm/chat_rendering.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "base/error.h"
#include "files/json_value.h"
#include "llm/utf8.h"

namespace octet::llm {

namespace {

constexpr std::string_view kNoDocuments = ",\"documents\":null";

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

// JSON of somebody's request, where a fault is not a file's.
files::JsonValue parse(const std::string& json, const char* field) {
  try {
    return files::JsonValue::parse(json, field);
  } catch (const Error& error) {
    throw Error(ErrorCode::invalid_argument, error.message(), error.context());
  }
}

void require(bool right, const std::string& field, const char* expected) {
  if (!right) throw Error(ErrorCode::invalid_argument, std::string("expected ") + expected, field);
}

void check_messages(const std::string& messages_json) {
  const files::JsonValue messages = parse(messages_json, "messages");
  require(messages.is_array(), "messages", "an array of objects");
  const std::vector<files::JsonValue> elements = messages.elements();
  require(!elements.empty(), "messages", "at least one message, found none");
  for (std::size_t i = 0; i < elements.size(); ++i)
    require(elements[i].is_object(), "messages[" + std::to_string(i) + "]", "an object");
}

// Adds the members of `kwargs_json` to the object `known`. Only documents, which nothing else sets, may be
// there already.
void add_variables(std::string& known, const std::string& kwargs_json) {
  constexpr const char* kField = "chat_template_kwargs";
  const files::JsonValue kwargs = parse(kwargs_json, kField);
  require(kwargs.is_object(), kField, "an object");
  const std::vector<std::string> names = kwargs.keys();
  std::vector<std::string> taken = files::JsonValue::parse(known, "variables").keys();
  std::erase(taken, "documents");
  for (const std::string& name : names)
    if (std::find(taken.begin(), taken.end(), name) != taken.end())
      throw Error(ErrorCode::invalid_argument, "the template has a variable '" + name + "' already", kField);
  if (names.empty()) return;
  const std::string object = kwargs.dump();
  if (std::find(names.begin(), names.end(), "documents") != names.end())
    known.erase(known.rfind(kNoDocuments), kNoDocuments.size());
  known.insert(known.size() - 1, "," + object.substr(1, object.size() - 2));
}

// What a template cannot do with somebody's messages is the messages' fault: it was parsed when it was loaded.
std::string render(const text::ChatTemplate& chat_template, const std::string& variables) {
  try {
    return chat_template.render(variables);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::invalid_argument) throw;
    throw Error(ErrorCode::invalid_argument, "the chat template does not take them: " + error.message(),
                "messages");
  }
}

}  // namespace

std::string messages_variables(std::string_view messages_json, std::string_view tools_json,
                               bool add_generation_prompt, const text::Tokenizer& tokenizer) {
  std::string object = "{\"messages\":";
  object.append(messages_json);
  object += std::string(",\"add_generation_prompt\":") + (add_generation_prompt ? "true" : "false");
  object.append(",\"tools\":").append(tools_json).append(kNoDocuments);
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

std::string render_chat(const text::ChatTemplate& chat_template, const ChatPrompt& chat,
                        const text::Tokenizer& tokenizer) {
  check_messages(chat.messages_json);
  const bool has_tools = !chat.tools_json.empty();
  if (has_tools) require(parse(chat.tools_json, "tools").is_array(), "tools", "an array of objects");
  std::string variables = messages_variables(chat.messages_json, has_tools ? chat.tools_json : "null",
                                             chat.add_generation_prompt, tokenizer);
  if (!chat.template_kwargs_json.empty()) add_variables(variables, chat.template_kwargs_json);
  return render(chat_template, variables);
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
