#include "text/unicode_classes.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

// The range that holds `c`, or null. Ranges are sorted.
template <typename Range>
const Range* find_range(std::span<const Range> ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](char32_t value, const Range& range) { return value < range.first; });
  if (after == ranges.begin()) return nullptr;
  const Range& candidate = *(after - 1);
  return c <= candidate.last ? &candidate : nullptr;
}

// The general category as two letters.
std::string_view category(char32_t c) {
  const std::string_view known = utf8proc_category_string(static_cast<utf8proc_int32_t>(c));
  if (known != "Cn") return known;
  const CategoryRange* added = find_range(std::span<const CategoryRange>(kAssignedAfterUnicode14), c);
  return added != nullptr ? std::string_view(added->category, 2) : known;
}

}  // namespace

bool is_white_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return category(c)[0] == 'N';
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  // Two characters that have since become a symbol and a mark.
  if (c == 0x166D || c == 0x111C9) return true;
  if (utf8proc_category_string(static_cast<utf8proc_int32_t>(c))[0] != 'P') return false;
  return find_range(std::span<const CodePointRange>(kPunctuationPassedOver), c) == nullptr;
}

bool is_word_character(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
  if (c == 0x200C || c == 0x200D) return true;
  // Alphabetic symbols: letters in circles and squares.
  if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
      (c >= 0x1F170 && c <= 0x1F189)) {
    return true;
  }
  const std::string_view name = category(c);
  return name[0] == 'L' || name[0] == 'M' || name == "Nd" || name == "Nl" || name == "Pc";
}

bool is_strippable_mark(char32_t c) {
  if (c < 0x300) return false;
  // Two marks that have since become letters.
  if (c == 0x1CF2 || c == 0x1CF3) return true;
  if (utf8proc_category_string(static_cast<utf8proc_int32_t>(c))[0] != 'M') return false;
  return find_range(std::span<const CodePointRange>(kMarksThatStay), c) == nullptr;
}

bool is_inert_in_forms(char32_t c) {
  return c >= 0x7FD && find_range(std::span<const CodePointRange>(kInertInNormalization), c) != nullptr;
}

void append_lower(std::string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
  } else if (c == 0x130) {  // the one character whose lower case is two
    out += "i\xCC\x87";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

void for_each_new_range(std::string_view prefix,
                        const std::function<void(std::uint32_t first, std::uint32_t last)>& visit) {
  for (const CategoryRange& range : kAssignedAfterUnicode14) {
    if (std::string_view(range.category).starts_with(prefix)) visit(range.first, range.last);
  }
}

}  // namespace octet::text
