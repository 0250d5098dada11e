// Regex: a pattern of a tokenizer.json, matched as the `tokenizers` package matches it.
//
// Patterns are in Oniguruma's Ruby syntax (regex_syntax.h turns them into PCRE2's); matching is PCRE2's JIT
// with UTF and Unicode properties, under a match limit. Immutable, cheap to copy, thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace octet::text {

// A part of a text, in bytes.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

class Regex {
 public:
  // `context` names the file and the field. Throws Error{invalid_file} with the position in `pattern` where
  // it is wrong, Error{unsupported} with the position of a construct that is not supported.
  static Regex compile(std::string_view pattern, const std::string& context);

  // Fills `matches` with the matches in `text` from left to right, without overlap; an empty match never
  // directly follows another match. Requires valid UTF-8.
  // Throws Error{invalid_argument} where a match would take more steps than the limit allows.
  void find_all(std::string_view text, std::vector<Span>& matches) const;

 private:
  struct Code;
  explicit Regex(std::shared_ptr<const Code> code);
  std::shared_ptr<const Code> code_;
};

}  // namespace octet::text
