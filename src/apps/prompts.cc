#include "apps/prompts.h"

#include <charconv>
#include <cmath>
#include <fstream>
#include <iostream>

namespace octet::apps {

namespace {

// Everything until the end. istream::read turns what goes wrong below it (a folder opens, but does not read)
// into bad(), which stream iterators let through as another exception.
std::string read_all(std::istream& stream, const std::string& name) {
  std::string text;
  char buffer[1 << 16];
  do {
    stream.read(buffer, sizeof buffer);
    text.append(buffer, static_cast<std::size_t>(stream.gcount()));
  } while (stream);
  if (stream.bad()) throw Error(ErrorCode::io, "cannot read", name);
  return text;
}

}  // namespace

std::string read_file(const std::string& path) {
  if (path == "-") return read_all(std::cin, "standard input");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorCode::not_found, "cannot open the file", path);
  return read_all(file, path);
}

std::string read_prompt_file(const std::string& path) {
  std::string prompt = read_file(path);
  if (prompt.ends_with('\n')) prompt.pop_back();
  return prompt;
}

std::vector<std::int32_t> parse_token_ids(std::string_view list) {
  std::vector<std::int32_t> ids;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    std::string_view part = list.substr(begin, end - begin);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    std::int32_t id = 0;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), id);
    if (error != std::errc() || rest != part.data() + part.size())
      throw Error(ErrorCode::invalid_argument,
                  "expected token ids such as 1,2,3, found '" + std::string(part) + "'", "--prompt-token-ids");
    ids.push_back(id);
    begin = end + 1;
  }
  return ids;
}

std::int64_t parse_byte_size(const std::string& text, const std::string& flag) {
  constexpr std::string_view kUnits = "kmgt";
  constexpr double kMost = 0x1p62;
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  double unit = 1;
  bool good = error == std::errc() && std::isfinite(value) && value >= 0 && end - rest <= 1;
  if (good && rest != end) {
    const bool decimal = kUnits.find(*rest) != std::string_view::npos;
    const std::size_t power = kUnits.find(decimal ? *rest : static_cast<char>(*rest + ('a' - 'A')));
    good = power != std::string_view::npos;
    if (good) unit = std::pow(decimal ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  }
  const double bytes = std::floor(value * unit);
  if (!good || bytes > kMost || (unit == 1 && bytes != value))
    throw Error(
        ErrorCode::invalid_argument,
        "expected bytes, or a number with k, m, g, t (1000s) or K, M, G, T (1024s), found '" + text + "'",
        flag);
  return static_cast<std::int64_t>(bytes);
}

}  // namespace octet::apps
