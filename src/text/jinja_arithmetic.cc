#include <cmath>
#include <string>

#include "text/jinja_format.h"
#include "text/jinja_operators.h"

namespace octet::text::jinja {
namespace {

[[noreturn]] void fail_operands(const char* op, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  fail(std::string("unsupported operand types for ") + op + ": " + quoted(type_name(a)) + " and '" +
       std::string(type_name(b)) + "'");
}

[[noreturn]] void fail_overflow(const char* op) {
  fail(std::string("the result of ") + op + " does not fit in 64 bits");
}

// Both as integers, or both as doubles, or neither.
struct Operands {
  std::optional<std::int64_t> int_a, int_b;
  std::optional<double> a, b;
  Operands(const Value& x, const Value& y)
      : int_a(as_integer(x)), int_b(as_integer(y)), a(as_number(x)), b(as_number(y)) {}
  bool integers() const { return int_a && int_b; }
  bool numbers() const { return a && b; }
};

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  if (b == 0) fail("division by zero");
  if (b == -1) {
    std::int64_t result = 0;
    if (__builtin_sub_overflow(std::int64_t{0}, a, &result)) fail_overflow("//");
    return result;
  }
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

double floor_modulo(double a, double b) {
  if (b == 0) fail("division by zero");
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_divide(double a, double b) {
  if (b == 0) fail("division by zero");
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value repeat(Runtime& runtime, const Value& value, std::int64_t count) {
  const std::size_t times = count < 0 ? 0 : static_cast<std::size_t>(count);
  const std::size_t unit = weight(value);
  if (unit != 0 && times > kMaxText / unit) fail("a repeated value grows too large");
  runtime.use_bytes(unit * times);
  if (const std::string* text = value.text()) {
    std::string result;
    result.reserve(unit * times);
    for (std::size_t i = 0; i < times && unit != 0; ++i) result += *text;
    return Value(std::move(result));
  }
  const Sequence& sequence = *value.sequence();
  std::vector<Value> items;
  items.reserve(sequence.items.size() * (unit != 0 ? times : 0));
  for (std::size_t i = 0; i < times && unit != 0; ++i) {
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return make_sequence(runtime, sequence.kind, std::move(items));
}

bool is_repeatable(const Value& value) {
  const Sequence* sequence = value.sequence();
  return value.text() ||
         (sequence && (sequence->kind == SequenceKind::list || sequence->kind == SequenceKind::tuple));
}

}  // namespace

std::optional<std::int64_t> as_integer(const Value& value) {
  if (const bool* b = value.get<bool>()) return *b ? 1 : 0;
  if (const std::int64_t* i = value.get<std::int64_t>()) return *i;
  return std::nullopt;
}

std::optional<double> as_number(const Value& value) {
  if (const double* d = value.get<double>()) return *d;
  if (const auto integer = as_integer(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

void require_defined(const Value& value) {
  if (const Undefined* missing = value.get<Undefined>()) fail(*missing->why);
}

Value add(Runtime& runtime, const Value& a, const Value& b) {
  if (a.text() && b.text()) {
    runtime.check_text(a.text()->size() + b.text()->size());
    runtime.use_bytes(a.text()->size() + b.text()->size());
    return Value(*a.text() + *b.text());
  }
  const Operands o(a, b);
  if (o.integers()) {
    std::int64_t sum = 0;
    if (__builtin_add_overflow(*o.int_a, *o.int_b, &sum)) fail_overflow("+");
    return Value(sum);
  }
  if (o.numbers()) return Value(*o.a + *o.b);
  if (is_repeatable(a) && is_repeatable(b) && a.sequence() && b.sequence() &&
      a.sequence()->kind == b.sequence()->kind) {
    runtime.use_bytes(weight(a) + weight(b));
    std::vector<Value> items = a.sequence()->items;
    items.insert(items.end(), b.sequence()->items.begin(), b.sequence()->items.end());
    return make_sequence(runtime, a.sequence()->kind, std::move(items));
  }
  fail_operands("+", a, b);
}

Value subtract(const Value& a, const Value& b) {
  const Operands o(a, b);
  if (o.integers()) {
    std::int64_t difference = 0;
    if (__builtin_sub_overflow(*o.int_a, *o.int_b, &difference)) fail_overflow("-");
    return Value(difference);
  }
  if (o.numbers()) return Value(*o.a - *o.b);
  fail_operands("-", a, b);
}

Value multiply(Runtime& runtime, const Value& a, const Value& b) {
  const Operands o(a, b);
  if (o.integers()) {
    std::int64_t product = 0;
    if (__builtin_mul_overflow(*o.int_a, *o.int_b, &product)) fail_overflow("*");
    return Value(product);
  }
  if (o.numbers()) return Value(*o.a * *o.b);
  if (is_repeatable(a) && o.int_b) return repeat(runtime, a, *o.int_b);
  if (is_repeatable(b) && o.int_a) return repeat(runtime, b, *o.int_a);
  fail_operands("*", a, b);
}

Value divide(const Value& a, const Value& b) {
  const Operands o(a, b);
  if (!o.numbers()) fail_operands("/", a, b);
  if (*o.b == 0) fail("division by zero");
  return Value(*o.a / *o.b);
}

Value floor_divide(const Value& a, const Value& b) {
  const Operands o(a, b);
  if (o.integers()) return Value(floor_divide(*o.int_a, *o.int_b));
  if (o.numbers()) return Value(floor_divide(*o.a, *o.b));
  fail_operands("//", a, b);
}

Value modulo(Runtime& runtime, const Value& a, const Value& b) {
  if (a.text()) return Value(format_percent(runtime, *a.text(), b));
  const Operands o(a, b);
  if (o.integers()) {
    if (*o.int_b == 0) fail("division by zero");
    if (*o.int_b == -1) return Value(std::int64_t{0});
    const std::int64_t rest = *o.int_a % *o.int_b;
    return Value(rest != 0 && (rest < 0) != (*o.int_b < 0) ? rest + *o.int_b : rest);
  }
  if (o.numbers()) return Value(floor_modulo(*o.a, *o.b));
  fail_operands("%", a, b);
}

Value power(const Value& a, const Value& b) {
  const Operands o(a, b);
  if (!o.numbers()) fail_operands("**", a, b);
  if (o.integers() && *o.int_b >= 0) {
    std::int64_t result = 1;
    std::int64_t base = *o.int_a;
    for (std::int64_t exponent = *o.int_b; exponent > 0; exponent >>= 1) {
      if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow("**");
      if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) fail_overflow("**");
    }
    return Value(result);
  }
  if (*o.a == 0 && *o.b < 0) fail("zero cannot be raised to a negative power");
  const double result = std::pow(*o.a, *o.b);
  if (std::isnan(result) && !std::isnan(*o.a) && !std::isnan(*o.b))
    fail("complex numbers, the result of this **, are not supported");
  if (std::isinf(result) && std::isfinite(*o.a) && std::isfinite(*o.b))
    fail("the result of ** is out of range");
  return Value(result);
}

Value negate(const Value& value) {
  if (const auto integer = as_integer(value)) {
    std::int64_t result = 0;
    if (__builtin_sub_overflow(std::int64_t{0}, *integer, &result)) fail_overflow("-");
    return Value(result);
  }
  if (const double* d = value.get<double>()) return Value(-*d);
  require_defined(value);
  fail("bad operand type for unary -: " + quoted(type_name(value)));
}

Value plus(const Value& value) {
  if (const auto integer = as_integer(value)) return Value(*integer);
  if (value.get<double>()) return value;
  require_defined(value);
  fail("bad operand type for unary +: " + quoted(type_name(value)));
}

}  // namespace octet::text::jinja
