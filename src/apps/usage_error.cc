#include "apps/usage_error.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string_view>

namespace octet::apps {

namespace {

// The whole of `text` as a number; false where it is none or does not fit.
template <typename Number>
bool is_number(std::string_view text) {
  Number value{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && rest == text.data() + text.size();
}

bool is_digits(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

std::string expected_instead_of(std::string_view type, std::string_view value) {
  const std::string found = ", found '" + std::string(value) + "'";
  if (type.starts_with("FLOAT")) return "expected a number" + found;
  if (!is_digits(value)) return "expected a whole number" + found;
  using Int = std::numeric_limits<std::int32_t>;
  if (!is_number<std::int64_t>(value)) return "the number is too large" + found;
  return "expected " + std::to_string(Int::min()) + " to " + std::to_string(Int::max()) + found;
}

// The first of comma-separated values that is not what `type` asks for.
std::string_view bad_part(std::string_view type, std::string_view values) {
  while (true) {
    const std::size_t comma = std::min(values.find(','), values.size());
    const std::string_view part = values.substr(0, comma);
    const bool good = type.starts_with("FLOAT") ? is_number<double>(part) : is_number<std::int32_t>(part);
    if (!good || comma == values.size()) return part;
    values.remove_prefix(comma + 1);
  }
}

std::string names_of_commands(const CLI::App& program) {
  std::string names;
  for (const CLI::App* command : program.get_subcommands({}))
    names += (names.empty() ? "" : ", ") + command->get_name();
  return names;
}

// The first argument that is no flag of the command; the parser asks for what is missing before it says so.
std::string unknown_flag(const CLI::App& app) {
  for (const std::string& argument : app.remaining())
    if (argument.starts_with('-') && argument != "-") return argument;
  return {};
}

}  // namespace

std::string value_error(const CLI::App& app, const CLI::ParseError& error) {
  constexpr std::string_view kStart = "Could not convert: ";
  const std::string message = error.what();
  const std::size_t equals = message.find(" = ");
  if (!message.starts_with(kStart) || equals == message.npos) return message;
  const std::string flag = message.substr(kStart.size(), equals - kStart.size());
  const CLI::Option* option = app.get_option_no_throw(flag);
  if (option == nullptr) return message;
  if (option->get_expected_min() == 0)
    return flag + ": expected true or false, found '" + message.substr(equals + 3) + "'";
  const std::string type = option->get_type_name();
  if (!type.starts_with("INT") && !type.starts_with("UINT") && !type.starts_with("FLOAT")) return message;
  const std::string values = message.substr(equals + 3);
  return flag + ": " + expected_instead_of(type, bad_part(type, values));
}

std::string usage_error(const CLI::App& program, const CLI::ParseError& error, int argc, char** argv) {
  const auto commands = program.get_subcommands();
  const std::string first = argc > 1 ? argv[1] : "";
  if (commands.empty() && first.empty()) return "expected a command: one of " + names_of_commands(program);
  // The parser says only that a subcommand is required, whatever stands in its place.
  if (commands.empty() && first.starts_with('-'))
    return "unknown flag '" + first + "': expected a command, one of " + names_of_commands(program);
  if (commands.empty()) return "unknown command '" + first + "': expected one of " + names_of_commands(program);
  const CLI::App& command = *commands.front();
  for (const CLI::App* app : {&program, &command})
    if (const std::string flag = unknown_flag(*app); !flag.empty())
      return "unknown flag '" + flag + "' of octet " + command.get_name();
  return value_error(command, error);
}

}  // namespace octet::apps
