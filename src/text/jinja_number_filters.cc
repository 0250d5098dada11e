// Filters that make numbers: abs, float, int, round, sum; and default, which takes anything.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "text/jinja_access.h"
#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

// Python allows one underscore between digits, and a sign; neither is known to from_chars.
std::optional<std::string> plain_digits(std::string_view text) {
  text = strip(text, Side::both);
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      result += text[i];
      continue;
    }
    const auto is_alnum_ascii = [](char c) { return is_alnum(static_cast<unsigned char>(c)) && c > 0; };
    if (i == 0 || i + 1 == text.size() || !is_alnum_ascii(text[i - 1]) || !is_alnum_ascii(text[i + 1])) {
      return std::nullopt;
    }
  }
  return result;
}

std::optional<std::int64_t> parse_integer(std::string_view text, std::int64_t base) {
  auto digits = plain_digits(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  const char letter = rest.size() > 2 && rest[0] == '0' ? static_cast<char>(rest[1] | 0x20) : '\0';
  const std::int64_t prefix_base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (prefix_base != 0 && (base == prefix_base || base == 0)) {
    rest.remove_prefix(2);
    base = prefix_base;
  }
  if (base == 0) base = 10;
  if (rest.empty() || rest[0] == '-') return std::nullopt;
  std::uint64_t magnitude = 0;
  const auto parsed =
      std::from_chars(rest.data(), rest.data() + rest.size(), magnitude, static_cast<int>(base));
  if (parsed.ptr != rest.data() + rest.size()) return std::nullopt;
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 63;
  if (parsed.ec != std::errc() || magnitude > kLimit - (negative ? 0 : 1)) {
    fail("the number " + std::string(text.substr(0, 40)) + " does not fit in 64 bits");
  }
  return static_cast<std::int64_t>(negative ? std::uint64_t{0} - magnitude : magnitude);
}

std::optional<double> parse_float(std::string_view text) {
  const auto digits = plain_digits(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  if (rest.empty() || rest[0] == '-' || rest.find('(') != std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (parsed.ptr != rest.data() + rest.size()) return std::nullopt;
  if (parsed.ec != std::errc()) value = std::strtod(std::string(rest).c_str(), nullptr);  // infinite or tiny
  return negative ? -value : value;
}

std::int64_t truncated(double value) {
  if (std::isinf(value)) fail("cannot convert float infinity to integer");
  if (!(std::fabs(value) < 9223372036854775808.0)) fail("a number does not fit in 64 bits");
  return static_cast<std::int64_t>(value);
}

Value to_integer(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("int", arguments, {"default", "base"});
  const Value otherwise = bound[0] ? *bound[0] : Value(std::int64_t{0});
  require_defined(input);
  if (const auto integer = as_integer(input)) return Value(*integer);
  if (const double* number = input.get<double>())
    return std::isnan(*number) ? otherwise : Value(truncated(*number));
  if (!input.text()) return otherwise;
  runtime.use_bytes(input.text()->size());
  const std::int64_t base = bound[1] ? as_integer(*bound[1]).value_or(-1) : 10;
  if (base != 0 && (base < 2 || base > 36)) fail("int: the base is 0 or 2 to 36");
  if (const auto integer = parse_integer(*input.text(), base)) return Value(*integer);
  const auto number = parse_float(*input.text());
  return number && std::isfinite(*number) ? Value(truncated(*number)) : otherwise;
}

Value to_float(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("float", arguments, {"default"});
  require_defined(input);
  if (const auto number = as_number(input)) return Value(*number);
  if (input.text()) {
    runtime.use_bytes(input.text()->size());
    if (const auto number = parse_float(*input.text())) return Value(*number);
  }
  return bound[0] ? *bound[0] : Value(0.0);
}

Value absolute(Runtime&, const Value& input, const Arguments& arguments) {
  bind("abs", arguments, {});
  const auto number = as_number(input);
  if (!number) {
    require_defined(input);
    fail("bad operand type for abs(): " + quoted(type_name(input)));
  }
  if (const double* d = input.get<double>()) return Value(std::fabs(*d));
  return *number < 0 ? negate(input) : plus(input);
}

// Python rounds the decimal digits of the exact value, half to even; printf does the same.
double round_decimal(double value, std::int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(std::min<std::int64_t>(-digits, 400)));
    return std::isinf(scale) ? 0.0 * value : std::nearbyint(value / scale) * scale;
  }
  char buffer[700];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

Value round_filter(Runtime&, const Value& input, const Arguments& arguments) {
  const auto bound = bind("round", arguments, {"precision", "method"});
  const std::int64_t precision = bound[0] ? as_integer(*bound[0]).value_or(0) : 0;
  const std::string method = bound[1] && bound[1]->text() ? *bound[1]->text() : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    fail("round: the method is common, ceil or floor");
  require_defined(input);
  const auto number = as_number(input);
  if (!number) fail("round wants a number, not " + quoted(type_name(input)));
  if (method == "common") {
    const auto integer = as_integer(input);
    if (integer && precision >= 0) return Value(*integer);
    if (integer) fail("round: a negative precision of an integer is not supported");
    return Value(round_decimal(*number, precision));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *number * scale;
  if (!std::isfinite(scaled)) fail("round: " + method + " of this number is not finite");
  return Value(((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) + 0.0) / scale);
}

Value sum(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("sum", arguments, {"attribute", "start"});
  Value total = bound[1] ? *bound[1] : Value(std::int64_t{0});
  if (total.text()) fail("sum() can't sum strings");
  const SequencePtr items = iterate(runtime, input);
  for (const Value& item : items->items) {
    runtime.step();
    total = add(runtime, total, bound[0] ? get_path(runtime, item, *bound[0]) : item);
  }
  return total;
}

Value default_filter(Runtime&, const Value& input, const Arguments& arguments) {
  const auto bound = bind("default", arguments, {"default_value", "boolean"});
  const bool boolean = bound[1] && is_true(*bound[1]);
  if (!input.is_undefined() && !(boolean && !is_true(input))) return input;
  return bound[0] ? *bound[0] : Value("");
}

struct NumberFilter {
  std::string_view name;
  FilterFunction function;
};

constexpr NumberFilter kNumberFilters[] = {
    {"abs", absolute},   {"d", default_filter}, {"default", default_filter},
    {"float", to_float}, {"int", to_integer},   {"round", round_filter},
    {"sum", sum},
};

}  // namespace

FilterFunction find_number_filter(std::string_view name) {
  const auto* it = std::find_if(std::begin(kNumberFilters), std::end(kNumberFilters),
                                [&](const NumberFilter& entry) { return entry.name == name; });
  return it == std::end(kNumberFilters) ? nullptr : it->function;
}

}  // namespace octet::text::jinja
