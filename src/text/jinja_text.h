// Python's text operations on UTF-8: everything counts code points, and character classes, case mappings
// and line ends are Unicode's. All inputs are valid UTF-8 and so are all results.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet::text::jinja {

// The code point that starts at `text[at]`, and its length in bytes.
struct CodePoint {
  char32_t value = 0;
  std::size_t size = 0;
};
CodePoint code_point_at(std::string_view text, std::size_t at);
CodePoint code_point_before(std::string_view text, std::size_t end);
void append_code_point(std::string& text, char32_t value);
// The byte offset of the first invalid sequence, or nothing.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

std::size_t length(std::string_view text);
// The byte offset of code point `index`; text.size() beyond the end.
std::size_t offset_of(std::string_view text, std::size_t index);
std::vector<std::string_view> characters(std::string_view text);

bool is_space(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);  // decimals, superscripts and the like
bool is_alnum(char32_t c);  // letters and numbers
bool is_word(char32_t c);   // what \w matches
bool is_printable(char32_t c);
bool is_lower(char32_t c);
bool is_upper(char32_t c);
bool is_title(char32_t c);

// Python's isupper() and islower(): some cased characters, and all of them in that case.
bool has_case(std::string_view text, bool upper);

enum class Side { left, right, both };
// Without `chars`: whitespace.
std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> chars = std::nullopt);
// At most `most` splits (-1 = all); without `separator`: at runs of whitespace.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    long most = -1);
std::vector<std::string_view> split_right(std::string_view text, std::optional<std::string_view> separator,
                                          long most = -1);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends = false);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string to_title(std::string_view text);  // str.title(), not the filter

}  // namespace octet::text::jinja
