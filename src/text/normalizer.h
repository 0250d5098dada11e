// Normalizer: the "normalizer" of a tokenizer.json, which rewrites a text before it is split.
//
// NFC, NFD, NFKC, NFKD, Lowercase, Replace, Prepend, Strip, StripAccents, ByteLevel and Sequence; any other is
// an Error{unsupported}. Immutable and thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/json_field.h"

namespace octet::text {

class Normalizer {
 public:
  // One rewriting. Sets `at_start` to false where the first character no longer stems from the first character
  // of the text (the Metaspace pre-tokenizer asks).
  class Step {
   public:
    virtual ~Step() = default;
    virtual void apply(std::string& text, bool& at_start) const = 0;
  };

  // Does nothing.
  Normalizer() = default;
  // Throws Error{invalid_file, unsupported}.
  static Normalizer parse(const std::optional<JsonField>& field);

  // Requires valid UTF-8.
  void apply(std::string& text, bool& at_start) const;
  bool changes_nothing() const { return steps_.empty(); }

 private:
  std::vector<std::shared_ptr<const Step>> steps_;
};

}  // namespace octet::text
