// Detokenizer: turns a growing list of token ids into text, piece by piece, never splitting a character.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace octet::text {

// Incremental decoding of one sequence. The concatenation of all that add() and finish() return equals
// Tokenizer::decode of all ids. Not thread-safe; one a sequence.
class Detokenizer {
 public:
  Detokenizer(Tokenizer tokenizer, bool skip_special_tokens);

  // The text that became certain with this token; empty while a UTF-8 sequence is incomplete.
  std::string add(std::int32_t id);
  // What is left: an incomplete sequence becomes U+FFFD.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::string pending_;
};

}  // namespace octet::text
