// TextPattern: what Split and Replace look for, either a regular expression or plain text, and how a text is
// split around what was found.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_field.h"
#include "text/regex.h"

namespace octet::text {

class TextPattern {
 public:
  // {"String": "…"} or {"Regex": "…"}. Throws Error{invalid_file, unsupported}.
  static TextPattern parse(const JsonField& field);
  static TextPattern of_regex(Regex regex);

  // As Regex::find_all.
  void find_all(std::string_view text, std::vector<Span>& matches) const;

 private:
  std::string literal_;  // where there is no regex; never empty
  std::optional<Regex> regex_;
};

// Every character for which `wanted` holds, as a match of its own.
void find_characters(std::string_view text, bool (*wanted)(char32_t), std::vector<Span>& matches);

// What becomes of a match when a text is split, as tokenizer.json spells it.
enum class SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };
SplitBehavior parse_split_behavior(const JsonField& field);

// Fills `parts` with the parts of a text of `size` bytes that `matches` make (where `invert`, what lies between
// them counts as the match). Empty parts are left out.
void split_text(std::size_t size, const std::vector<Span>& matches, bool invert, SplitBehavior behavior,
                std::vector<Span>& parts);

}  // namespace octet::text
