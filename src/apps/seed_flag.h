// A seed on the command line.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>

namespace octet::apps {

// For CLI::Option::check: empty where `text` is a seed. The option's own conversion would wrap -1 around and
// cut what is too large.
inline std::string check_seed(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error == std::errc() && rest == text.data() + text.size()) return {};
  return "expected 0 to 18446744073709551615, found " + text;
}

}  // namespace octet::apps
