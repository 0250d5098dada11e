// Detokenizer: turns a growing list of token ids into text, piece by piece, never splitting a character.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace octet::text {

// Incremental decoding of one sequence. The concatenation of all that add() and finish() return equals
// Tokenizer::decode of all ids (which is made of it). Not thread-safe; one a sequence.
class Detokenizer {
 public:
  Detokenizer(Tokenizer tokenizer, bool skip_special_tokens);
  ~Detokenizer();
  Detokenizer(Detokenizer&&) noexcept;
  Detokenizer& operator=(Detokenizer&&) noexcept;

  // The text that became certain with this token; empty while a UTF-8 sequence is incomplete, and where the
  // decoder has to see what follows (byte fallback waits for the end of a run of byte tokens).
  // Throws Error{invalid_argument} for an id that has no token.
  std::string add(std::int32_t id);
  // What is left: an incomplete sequence becomes U+FFFD. Nothing may be added afterwards.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet::text
