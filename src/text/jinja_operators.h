// The operators of chat templates on values, with Python's rules and Python's type errors.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace octet::text::jinja {

Value add(Runtime& runtime, const Value& a, const Value& b);
Value subtract(const Value& a, const Value& b);
Value multiply(Runtime& runtime, const Value& a, const Value& b);
Value divide(const Value& a, const Value& b);
Value floor_divide(const Value& a, const Value& b);
Value modulo(Runtime& runtime, const Value& a, const Value& b);  // also 'format' % values
Value power(const Value& a, const Value& b);
Value negate(const Value& value);
Value plus(const Value& value);

bool equal(Runtime& runtime, const Value& a, const Value& b);
// a < b. Throws Failure for types that have no order.
bool less(Runtime& runtime, const Value& a, const Value& b);
// a <= b, which for NaN is not the opposite of b < a.
bool less_equal(Runtime& runtime, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);

// What a for loop goes over: the items of a sequence, the keys of a dict, the characters of a text, nothing
// for undefined. A generator is used up. Throws Failure for other types.
SequencePtr iterate(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);
// Python's len(); nothing for types that have none.
std::optional<std::int64_t> length_of(const Value& value);

// bool and int as an integer.
std::optional<std::int64_t> as_integer(const Value& value);
// bool, int and float as a double.
std::optional<double> as_number(const Value& value);

// Fails with the reason why `value` is undefined; does nothing for a defined value.
void require_defined(const Value& value);

}  // namespace octet::text::jinja
