// Checking that the caller's text is UTF-8 before any of it is used.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace octet::llm {

// The byte offset of the first sequence that is not well-formed UTF-8 (overlong forms, surrogates and
// values past U+10FFFF included), or nothing.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

// Throws Error{invalid_argument} naming the byte offset, with `what` as context.
void require_utf8(std::string_view text, const std::string& what);

}  // namespace octet::llm
