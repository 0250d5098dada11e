// UTF-8 as the text room needs it: checking, reading and writing code points, and Rust's lossy decoding.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace octet::text {

// The offset of the first byte that does not belong to well-formed UTF-8 (no surrogates, nothing above
// U+10FFFF, shortest forms only), or nothing where all of it does.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

// The code point at `position`, which is moved past it. Requires valid UTF-8 and position < text.size().
char32_t next_code_point(std::string_view text, std::size_t& position);

// The code point that ends just before `position`, which is moved to its first byte. Requires valid UTF-8.
char32_t previous_code_point(std::string_view text, std::size_t& position);

void append_utf8(std::string& out, char32_t code_point);

// Appends `bytes` to `out` as text: each longest prefix of a character that cannot be completed becomes one
// U+FFFD, as in Rust's String::from_utf8_lossy. Returns how many bytes were used; unless `final`, a
// character that is cut off at the end is left for the next call.
std::size_t append_lossy(std::string& out, std::string_view bytes, bool final);

}  // namespace octet::text
