// Decoder: the "decoder" of a tokenizer.json, which turns tokens back into text.
//
// ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, BPEDecoder and Sequence; any other is an
// Error{unsupported}; without one, tokens are joined by spaces. What a token becomes may depend on its
// neighbours (the first space, a character made of several tokens), so a decoder is a chain of stages through
// which tokens stream: decoding at once and decoding piece by piece are the same code. The Decoder is
// immutable and thread-safe, a Stream belongs to one sequence.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_field.h"

namespace octet::text {

class Decoder {
 public:
  // Takes what a stage gives out: a piece of a token, and whether the token ends with it.
  using Output = std::function<void(std::string_view piece, bool ends_token)>;

  // One stage's progress through one sequence. Pieces are valid UTF-8 and never cut a character.
  class Progress {
   public:
    virtual ~Progress() = default;
    virtual void push(std::string_view piece, bool ends_token, const Output& output) = 0;
    // After the last token.
    virtual void finish(const Output& output) = 0;
  };

  class Stage {
   public:
    virtual ~Stage() = default;
    virtual std::unique_ptr<Progress> start() const = 0;
    // The same to one token alone, whose text may become bytes that are not UTF-8.
    virtual void rewrite_token(std::string& token) const = 0;
  };

  class Stream {
   public:
    // Returns the text that became certain with this token.
    std::string add(std::string_view token);
    std::string finish();

   private:
    friend class Decoder;
    void push(std::size_t stage, std::string_view piece, bool ends_token);

    std::vector<std::unique_ptr<Progress>> stages_;
    std::string text_;
  };

  // Joins by spaces.
  Decoder();
  // Throws Error{invalid_file, unsupported}.
  static Decoder parse(const std::optional<JsonField>& field);

  Stream start() const;
  // The bytes that a token stands for, whatever its neighbours.
  std::string token_bytes(std::string token) const;

 private:
  std::vector<std::shared_ptr<const Stage>> stages_;
};

}  // namespace octet::text
