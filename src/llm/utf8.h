// Checking that the caller's text is UTF-8 before any of it is used.
#pragma once

#include <string>
#include <string_view>

namespace octet::llm {

// Throws Error{invalid_argument} naming the offset of the first bad byte, with `what` as context.
void require_utf8(std::string_view text, const std::string& what);

}  // namespace octet::llm
