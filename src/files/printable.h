// Text from a file made fit for an error message: one line, bounded, printable.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace octet::files {

// Control characters and invalid UTF-8 become '?'; what is longer than `limit` bytes is cut and ends in "…".
std::string printable(std::string_view text, std::size_t limit = 120);

}  // namespace octet::files
