#include "llm/sample_encoder.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "files/json_value.h"
#include "llm/chat_rendering.h"

namespace octet::llm {

namespace {

using files::JsonValue;

[[noreturn]] void refuse_members(const JsonValue& line, const std::string& where) {
  std::string found;
  for (const std::string& key : line.keys()) found += (found.empty() ? "" : ", ") + key;
  throw Error(ErrorCode::invalid_file,
              "expected input_ids, messages, text, or prompt and completion; found " +
                  (found.empty() ? std::string("no member") : found),
              where);
}

}  // namespace

SampleEncoder::SampleEncoder(std::string directory, int vocab_size, int max_tokens)
    : directory_(std::move(directory)),
      vocab_size_(vocab_size),
      max_tokens_(static_cast<std::size_t>(max_tokens)) {}

const text::Tokenizer& SampleEncoder::tokenizer() {
  if (!tokenizer_) tokenizer_ = text::Tokenizer::load(directory_);
  return *tokenizer_;
}

std::vector<std::int32_t> SampleEncoder::encode(std::string_view text, bool add_special_tokens,
                                                const std::string& where) {
  const text::Tokenizer& with = tokenizer();
  std::vector<std::int32_t> ids;
  try {
    ids = with.encode(text, add_special_tokens);
  } catch (const Error& error) {
    throw Error(error.code(), error.message(), where);
  }
  if (ids.size() > max_tokens_) ids.resize(max_tokens_);
  for (const std::int32_t id : ids)
    if (id >= vocab_size_)
      throw Error(ErrorCode::invalid_file,
                  "the tokenizer makes the id " + std::to_string(id) + ", but the model's vocabulary ends at " +
                      std::to_string(vocab_size_ - 1),
                  where);
  return ids;
}

std::vector<std::int32_t> SampleEncoder::encode_text(std::string_view text, const std::string& where) {
  return encode(text, /*add_special_tokens=*/true, where);
}

std::vector<std::int32_t> SampleEncoder::encode_line(std::string_view line, const std::string& where) {
  const JsonValue sample = JsonValue::parse(line, where);
  if (!sample.is_object()) sample.fail("expected a JSON object");
  if (const auto given = sample.find("input_ids")) {
    std::vector<std::int32_t> ids;
    for (const JsonValue& id : given->elements())
      ids.push_back(static_cast<std::int32_t>(id.as_int(0, vocab_size_ - 1)));
    if (ids.size() > max_tokens_) ids.resize(max_tokens_);
    return ids;
  }
  if (const auto messages = sample.find("messages")) {
    if (!messages->is_array()) messages->fail("expected an array of messages");
    if (!chat_template_) {
      if (tokenizer().chat_template().empty())
        throw Error(ErrorCode::not_found, "has messages, but the checkpoint has no chat template", where);
      chat_template_ = text::ChatTemplate::parse(tokenizer().chat_template(), tokenizer().chat_template_file());
    }
    const auto tools = sample.find("tools");
    std::string text;
    try {
      text = chat_template_->render(messages_variables(messages->dump(), tools ? tools->dump() : "null",
                                                       /*add_generation_prompt=*/false, tokenizer()));
    } catch (const Error& error) {
      throw Error(error.code(), error.what(), where + ": messages");
    }
    return encode(text, /*add_special_tokens=*/false, where);  // the template writes them itself
  }
  if (const auto text = sample.find("text")) return encode_text(text->as_string(), where);
  const auto prompt = sample.find("prompt");
  if (!prompt) refuse_members(sample, where);
  return encode_text(prompt->as_string() + sample.at("completion").as_string(), where);
}

}  // namespace octet::llm
