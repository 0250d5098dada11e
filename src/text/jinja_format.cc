#include "text/jinja_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "text/jinja_access.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

constexpr int kMaxWidth = 10'000;

// How one value is to be written, in the words of both mini-languages.
struct Spec {
  char align = '\0';  // '<', '>', '^', '=' (zeros behind the sign); none: by type
  std::string fill = " ";
  char sign = '-';  // '+' or ' ' also mark numbers that are not negative
  bool alternate = false;
  bool thousands = false;
  int width = 0;
  int precision = -1;
  char type = '\0';
};

std::string aligned(const Spec& spec, std::string text, std::size_t sign_size, char default_align) {
  const std::size_t size = length(text);
  const auto width = static_cast<std::size_t>(spec.width);
  if (size >= width) return text;
  const std::size_t missing = width - size;
  const char align = spec.align != '\0' ? spec.align : default_align;
  const std::size_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string result;
  if (align == '=') result = text.substr(0, sign_size);
  for (std::size_t i = 0; i < left; ++i) result += spec.fill;
  result += align == '=' ? text.substr(sign_size) : text;
  for (std::size_t i = left; i < missing; ++i) result += spec.fill;
  return result;
}

std::string with_thousands(const std::string& digits) {
  const std::size_t whole = std::min(digits.find('.'), digits.size());
  std::string result;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && i < whole && (whole - i) % 3 == 0) result += ',';
    result += digits[i];
  }
  return result;
}

std::string finish_number(const Spec& spec, bool negative, std::string_view prefix, std::string digits) {
  if (spec.thousands) digits = with_thousands(digits);
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  sign += prefix;
  const std::size_t sign_size = sign.size();
  return aligned(spec, sign + digits, sign_size, '>');
}

std::string format_integer(const Spec& spec, std::int64_t value) {
  const int base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
  const std::uint64_t magnitude =
      value < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  char buffer[72];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, magnitude, base);
  std::string digits(buffer, result.ptr);
  if (spec.type == 'X') digits = to_upper(digits);
  const std::string prefix = spec.alternate && base != 10 ? std::string("0") + spec.type : "";
  return finish_number(spec, value < 0, prefix, std::move(digits));
}

std::string format_float(const Spec& spec, double value) {
  std::string digits;
  if (std::isnan(value) || std::isinf(value)) {
    digits = std::isnan(value) ? "nan" : "inf";
    if (spec.type >= 'A' && spec.type <= 'Z') digits = to_upper(digits);
  } else {
    const char conversion = spec.type == '%' ? 'f' : spec.type;
    const char format[] = {'%', '.', '*', conversion, '\0'};
    const double magnitude = std::fabs(spec.type == '%' ? value * 100 : value);
    const int precision = spec.precision < 0 ? 6 : spec.precision;
    const int size = std::snprintf(nullptr, 0, format, precision, magnitude);
    digits.resize(static_cast<std::size_t>(size) + 1);
    std::snprintf(digits.data(), digits.size(), format, precision, magnitude);
    digits.pop_back();
    if (spec.type == '%') digits += '%';
  }
  return finish_number(spec, std::signbit(value) && !std::isnan(value), "", std::move(digits));
}

std::string format_text(const Spec& spec, std::string text) {
  if (spec.precision >= 0) text.resize(offset_of(text, static_cast<std::size_t>(spec.precision)));
  return aligned(spec, std::move(text), 0, '<');
}

[[noreturn]] void fail_value(char type, const Value& value) {
  require_defined(value);
  fail(std::string("the format ") + type + " does not take a value of type " + quoted(type_name(value)));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool done() const { return text_.empty(); }
  char peek() const { return text_.empty() ? '\0' : text_[0]; }
  bool skip(char c) { return !done() && peek() == c && (text_.remove_prefix(1), true); }
  char take() {
    if (done()) fail("incomplete format");
    const char c = text_[0];
    text_.remove_prefix(1);
    return c;
  }
  std::string_view take_until(std::string_view stops) {
    const std::size_t end = std::min(text_.find_first_of(stops), text_.size());
    const std::string_view part = text_.substr(0, end);
    text_.remove_prefix(end);
    return part;
  }
  std::string_view take_character() {
    if (done()) fail("incomplete format");
    const std::size_t size = code_point_at(text_, 0).size;
    const std::string_view part = text_.substr(0, size);
    text_.remove_prefix(size);
    return part;
  }
  std::string_view rest() const { return text_; }
  // A width or precision; -1 where there are no digits.
  int number() {
    int value = -1;
    while (!done() && peek() >= '0' && peek() <= '9') {
      value = std::max(value, 0) * 10 + (take() - '0');
      if (value > kMaxWidth) fail("a format is wider than " + std::to_string(kMaxWidth));
    }
    return value;
  }

 private:
  std::string_view text_;
};

// ---- 'a %s' % value

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& values) : runtime_(runtime), values_(values) {
    const Sequence* sequence = values.sequence();
    if (sequence && sequence->kind == SequenceKind::tuple) tuple_ = sequence;
  }
  std::string run(Reader format);

 private:
  const Value& next_value();
  std::string convert(const Spec& spec, const Value& value);

  Runtime& runtime_;
  const Value& values_;
  const Sequence* tuple_ = nullptr;
  std::size_t used_ = 0;
  bool by_name_ = false;
};

const Value& PercentFormatter::next_value() {
  const std::size_t count = tuple_ ? tuple_->items.size() : 1;
  if (used_ >= count) fail("not enough arguments for format string");
  return tuple_ ? tuple_->items[used_++] : (++used_, values_);
}

std::string PercentFormatter::convert(const Spec& spec, const Value& value) {
  switch (spec.type) {
    case 's':
      return format_text(spec, to_text(runtime_, value));
    case 'r':
      return format_text(spec, to_repr(runtime_, value));
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      if (const auto integer = as_integer(value)) return format_integer(spec, *integer);
      const double* number = value.get<double>();
      const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
      if (!decimal || !number || !(std::fabs(*number) < 9e18)) fail_value(spec.type, value);
      return format_integer(spec, static_cast<std::int64_t>(*number));
    }
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
      if (const auto number = as_number(value)) return format_float(spec, *number);
      fail_value(spec.type, value);
    default:
      fail(std::string("unsupported format character '") + spec.type + "'");
  }
}

std::string PercentFormatter::run(Reader format) {
  std::string out;
  while (!format.done()) {
    out += format.take_until("%");
    if (!format.skip('%')) break;
    if (format.skip('%')) {
      out += '%';
      continue;
    }
    const Value* named = nullptr;
    if (format.skip('(')) {
      const std::string_view name = format.take_until(")");
      if (!format.skip(')')) fail("incomplete format key");
      const Dict* dict = values_.dict();
      if (!dict) fail("format requires a mapping");
      named = dict->find(name);
      if (!named) fail("the format names '" + std::string(name) + "', which is not there");
      by_name_ = true;
    }
    Spec spec;
    bool zeros = false;
    for (bool flag = true; flag;) {
      switch (format.peek()) {
        case '-':
          spec.align = '<';
          break;
        case '+':
          spec.sign = '+';
          break;
        case ' ':
          spec.sign = spec.sign == '+' ? '+' : ' ';
          break;
        case '#':
          spec.alternate = true;
          break;
        case '0':
          zeros = true;
          break;
        default:
          flag = false;
      }
      if (flag) format.take();
    }
    spec.width = std::max(format.number(), 0);
    if (format.skip('.')) spec.precision = std::max(format.number(), 0);
    spec.type = format.take();
    const bool numeric = spec.type != 's' && spec.type != 'r';
    if (spec.align == '\0') spec.align = zeros && numeric ? '=' : '>';
    if (zeros && spec.align == '=') spec.fill.assign(1, '0');
    if (spec.type == 'd' && spec.precision >= 0) fail("a precision for %d is not supported");
    out += convert(spec, named ? *named : next_value());
    runtime_.check_text(out.size());
  }
  // Python calls left-over values an error only where they cannot be indexed.
  const bool indexed = values_.dict() || values_.is_undefined() || (values_.sequence() && !tuple_);
  const std::size_t count = tuple_ ? tuple_->items.size() : 1;
  if (!by_name_ && !indexed && used_ < count) fail("not all arguments converted during string formatting");
  return out;
}

// ---- 'a {}'.format(value)

Spec parse_spec(Reader text) {
  constexpr std::string_view kAligns = "<>^=";
  Spec spec;
  if (!text.done()) {
    const std::size_t first = code_point_at(text.rest(), 0).size;
    if (text.rest().size() > first && kAligns.find(text.rest()[first]) != std::string_view::npos) {
      spec.fill = std::string(text.take_character());
      spec.align = text.take();
    } else if (kAligns.find(text.peek()) != std::string_view::npos) {
      spec.align = text.take();
    }
  }
  if (text.peek() == '+' || text.peek() == '-' || text.peek() == ' ') spec.sign = text.take();
  spec.alternate = text.skip('#');
  if (text.peek() == '0' && spec.align == '\0') {
    spec.align = '=';
    spec.fill.assign(1, '0');
  }
  spec.width = std::max(text.number(), 0);
  spec.thousands = text.skip(',');
  if (text.skip('.')) {
    spec.precision = text.number();
    if (spec.precision < 0) fail("format specifier missing precision");
  }
  if (!text.done()) spec.type = text.take();
  if (!text.done()) fail("invalid format specifier");
  return spec;
}

std::string format_value(Runtime& runtime, const Value& value, std::string_view text) {
  if (text.empty()) return to_text(runtime, value);
  Spec spec = parse_spec(Reader(text));
  const bool is_bool = value.get<bool>() != nullptr;
  if (value.text() && (spec.type == '\0' || spec.type == 's') && spec.align != '=') {
    return format_text(spec, *value.text());
  }
  const auto integer = as_integer(value);
  constexpr std::string_view kIntegerTypes = "dxXob";
  if (integer && (spec.type == '\0' || kIntegerTypes.find(spec.type) != std::string_view::npos) &&
      spec.precision < 0 && !(is_bool && spec.type == '\0')) {
    return format_integer(spec, *integer);
  }
  constexpr std::string_view kFloatTypes = "fFeEgG%";
  const auto number = as_number(value);
  if (number && spec.type != '\0' && kFloatTypes.find(spec.type) != std::string_view::npos) {
    return format_float(spec, *number);
  }
  require_defined(value);
  fail("the format '" + std::string(text) + "' for a value of type '" + std::string(type_name(value)) +
       "' is not supported");
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments) : runtime_(runtime), arguments_(arguments) {}
  std::string run(Reader format);

 private:
  std::string field(Reader& format);
  Value find(std::string_view name);

  Runtime& runtime_;
  const Arguments& arguments_;
  std::size_t automatic_ = 0;
};

Value BraceFormatter::find(std::string_view name) {
  std::size_t index = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), index);
  if (name.empty()) {
    index = automatic_++;
  } else if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) {
    for (const auto& [key, value] : arguments_.keyword) {
      if (key == name) return value;
    }
    fail("the format names '" + std::string(name) + "', which is not there");
  }
  if (index >= arguments_.positional.size()) fail("the format wants more arguments than there are");
  return arguments_.positional[index];
}

// {name.attribute[item]!conversion:spec}, behind its opening brace.
std::string BraceFormatter::field(Reader& format) {
  Value value = find(format.take_until(".[!:{}"));
  while (true) {
    if (format.skip('.')) {
      value = get_attribute(runtime_, value, format.take_until(".[!:{}"));
    } else if (format.skip('[')) {
      const std::string_view key = format.take_until("]");
      if (!format.skip(']')) fail("missing ']' in format string");
      std::int64_t index = 0;
      const auto parsed = std::from_chars(key.data(), key.data() + key.size(), index);
      const bool is_index = parsed.ec == std::errc() && parsed.ptr == key.data() + key.size();
      value = get_item(runtime_, value, is_index ? Value(index) : Value(key));
    } else {
      break;
    }
    require_defined(value);
  }
  if (format.skip('!')) {
    const char conversion = format.take();
    if (conversion != 's' && conversion != 'r') fail("unsupported conversion in a format string");
    value = Value(conversion == 's' ? to_text(runtime_, value) : to_repr(runtime_, value));
  }
  const std::string_view spec = format.skip(':') ? format.take_until("{}") : std::string_view();
  if (!format.skip('}')) fail("expected '}' in a format string");
  return format_value(runtime_, value, spec);
}

std::string BraceFormatter::run(Reader format) {
  std::string out;
  while (!format.done()) {
    out += format.take_until("{}");
    if (format.done()) break;
    const char brace = format.take();
    if (format.skip(brace)) {
      out += brace;
    } else if (brace == '}') {
      fail("single '}' in a format string");
    } else {
      out += field(format);
    }
    runtime_.check_text(out.size());
  }
  return out;
}

}  // namespace

std::string format_percent(Runtime& runtime, std::string_view format, const Value& values) {
  runtime.use_bytes(format.size());
  return PercentFormatter(runtime, values).run(Reader(format));
}

std::string format_braces(Runtime& runtime, std::string_view format, const Arguments& arguments) {
  runtime.use_bytes(format.size());
  return BraceFormatter(runtime, arguments).run(Reader(format));
}

}  // namespace octet::text::jinja
