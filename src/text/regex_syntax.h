// Turns a regular expression in Oniguruma's Ruby syntax, which tokenizer.json uses, into PCRE2's.
//
// The two differ in more than spelling: in Ruby's syntax (?m) is "dot matches newline", \h is a hexadecimal
// digit, x{2}+ repeats x{2}, (?i) in mid-group encloses the rest of the group, and \s, \w, \p{Han} and the
// [[:punct:]] classes have their own contents. Unicode 15 and 16's new characters are added to the classes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace octet::text {

struct TranslatedPattern {
  std::string text;
  std::vector<std::size_t> origins;  // for each byte of text, the byte of the pattern that it came from

  // Where in the pattern, in characters, a PCRE2 error at `offset` of the text lies.
  std::size_t origin_of(std::size_t offset) const;

  std::string pattern;
};

// `context` names the file and the field. Throws Error{unsupported or invalid_file} with the position.
TranslatedPattern translate_pattern(std::string_view pattern, const std::string& context);

}  // namespace octet::text
