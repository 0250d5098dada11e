// How large the automaton of a regular expression becomes, before it is made.
#pragma once

#include <string>
#include <string_view>

namespace octet::grammar {

inline constexpr int kMostRegexSize = 256;

// The characters and classes of `regex` with its repetitions written out: [a-z]{3}b is 4. Stops counting
// somewhere above kMostRegexSize. Throws Error{invalid_argument} with the context `field` for groups nested
// more than 64 deep and for repetitions whose upper bound is below the lower; what else is wrong with an
// expression is its compiler's to say.
int regex_size(std::string_view regex, const std::string& field);

}  // namespace octet::grammar
