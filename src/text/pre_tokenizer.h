// PreTokenizer: the "pre_tokenizer" of a tokenizer.json, which splits a text into the words that the model
// (BPE) then cuts into tokens, each word by itself.
//
// ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Punctuation, Metaspace and Sequence; any other is an
// Error{unsupported}. Immutable and thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_field.h"

namespace octet::text {

// The words of a text. They lie one after another in one buffer, which a step may rewrite.
struct Words {
  struct Word {
    std::size_t begin;
    std::size_t end;
    bool at_start;  // begins with the first character of the whole input
  };

  std::string buffer;
  std::vector<Word> words;

  std::string_view text(const Word& word) const {
    return std::string_view(buffer).substr(word.begin, word.end - word.begin);
  }
};

class PreTokenizer {
 public:
  class Step {
   public:
    virtual ~Step() = default;
    virtual void apply(Words& words) const = 0;
  };

  // Leaves the text as one word.
  PreTokenizer() = default;
  // Throws Error{invalid_file, unsupported}.
  static PreTokenizer parse(const std::optional<JsonField>& field);

  // Requires valid UTF-8. Throws Error{invalid_argument} where a regular expression meets its limit.
  void apply(Words& words) const;

 private:
  std::vector<std::shared_ptr<const Step>> steps_;
};

}  // namespace octet::text
