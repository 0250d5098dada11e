// SampleEncoder: from a sample of a dataset to the token ids that a model is shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octet::llm {

class SampleEncoder {
 public:
  // The tokenizer of the checkpoint in `directory` is loaded when the first sample needs one.
  SampleEncoder(std::string directory, int vocab_size, int max_tokens);

  // The first max_tokens ids of one line of JSON: the first of these members that it has:
  //   input_ids          as they are
  //   messages           through the chat template, without a generation prompt (tools go with them)
  //   text               with the special tokens that the tokenizer adds
  //   prompt, completion one text, likewise
  // `where` names the line in errors. Throws Error: invalid_file (no JSON object, none of these members, a
  // member of another type, an id outside the vocabulary), not_found (no chat template), or what the tokenizer
  // throws.
  std::vector<std::int32_t> encode_line(std::string_view line, const std::string& where);
  // Plain text, with special tokens.
  std::vector<std::int32_t> encode_text(std::string_view text, const std::string& where);

 private:
  const text::Tokenizer& tokenizer();
  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens, const std::string& where);

  std::string directory_;
  int vocab_size_;
  std::size_t max_tokens_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<text::ChatTemplate> chat_template_;
};

}  // namespace octet::llm
