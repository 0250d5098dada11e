// The character classes of Oniguruma (shorthands, properties, POSIX brackets) as the inside of a PCRE2 class.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace octet::text {

// The contents between [ and ] for \s, \w, \d, \h ('s', 'w', 'd' or 'h').
// `alone`: not already in brackets, where \w holds a few characters more.
std::string shorthand_members(char letter, bool alone);

// The same for \p{name}: a general category by its short or long name, a POSIX name, a binary property or a
// script. Nothing where the name is malformed or is of a kind that is not supported (graph, print, blocks).
std::optional<std::string> property_members(std::string_view name, bool alone);

// The contents of a class that holds what is outside White_Space, for \S inside brackets.
std::string non_space_members();

}  // namespace octet::text
