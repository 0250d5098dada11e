#include "text/jinja_tests.h"

#include <algorithm>
#include <string>

#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

using Predicate = bool (*)(const Value& input);

template <Predicate kPredicate>
bool plain(Runtime&, const Value& input, const Arguments& arguments) {
  bind("the test", arguments, {});
  return kPredicate(input);
}

using Relation = bool (*)(Runtime& runtime, const Value& input, const Value& other);

template <Relation kRelation>
bool with_other(Runtime& runtime, const Value& input, const Arguments& arguments) {
  return kRelation(runtime, input, *bind("the test", arguments, {""}, 1)[0]);
}

bool is_text(const Value& v) { return v.text() != nullptr; }
bool is_mapping(const Value& v) { return v.dict() != nullptr; }
bool is_boolean(const Value& v) { return v.get<bool>() != nullptr; }
bool is_integer(const Value& v) { return v.get<std::int64_t>() != nullptr; }
bool is_float(const Value& v) { return v.get<double>() != nullptr; }
bool is_number(const Value& v) { return is_boolean(v) || is_integer(v) || is_float(v); }
bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_same_as_true(const Value& v) { return is_boolean(v) && is_true(v); }
bool is_same_as_false(const Value& v) { return is_boolean(v) && !is_true(v); }
// Undefined can be called in Python, though all that this does is fail.
bool is_callable(const Value& v) { return v.get<CallablePtr>() || v.get<const Macro*>() || v.is_undefined(); }
bool is_escaped(const Value&) { return false; }  // autoescape is off, nothing is marked as safe

// In Python: has a length and can be indexed, which is also so for texts, dicts and undefined.
bool is_sequence(const Value& v) {
  return v.text() || v.dict() || v.is_undefined() ||
         (v.sequence() && v.sequence()->kind <= SequenceKind::range);
}

bool is_divisible_by(Runtime& runtime, const Value& input, const Value& other) {
  return equal(runtime, modulo(runtime, input, other), Value(std::int64_t{0}));
}

template <std::int64_t kRest>
bool is_odd_or_even(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("the test", arguments, {});
  return equal(runtime, modulo(runtime, input, Value(std::int64_t{2})), Value(kRest));
}

template <bool kUpper>
bool is_in_case(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("the test", arguments, {});
  return has_case(to_text(runtime, input), kUpper);
}

// Identity: the same object, or an equal value of the same type where Python shares objects.
bool is_same(Runtime& runtime, const Value& input, const Value& other) {
  if (input.storage().index() != other.storage().index()) return false;
  if (input.sequence()) return input.sequence() == other.sequence();
  if (input.dict()) return input.dict() == other.dict();
  return equal(runtime, input, other);
}

bool is_not_equal(Runtime& runtime, const Value& a, const Value& b) { return !equal(runtime, a, b); }
bool is_greater(Runtime& runtime, const Value& a, const Value& b) { return less(runtime, b, a); }
bool is_greater_equal(Runtime& runtime, const Value& a, const Value& b) { return less_equal(runtime, b, a); }
bool is_in(Runtime& runtime, const Value& a, const Value& b) { return contains(runtime, b, a); }

template <auto kFind>
bool is_name_of(Runtime&, const Value& input, const Arguments& arguments) {
  bind("the test", arguments, {});
  const bool is_list = input.sequence() && input.sequence()->kind == SequenceKind::list;
  if (is_list || input.dict()) fail("the name of a filter or test is a text");
  return input.text() && kFind(*input.text()) != nullptr;
}

struct NamedTest {
  std::string_view name;
  TestFunction function;
};

constexpr NamedTest kTests[] = {
    {"boolean", plain<is_boolean>},
    {"callable", plain<is_callable>},
    {"defined", plain<is_defined>},
    {"divisibleby", with_other<is_divisible_by>},
    {"eq", with_other<equal>},
    {"equalto", with_other<equal>},
    {"escaped", plain<is_escaped>},
    {"even", is_odd_or_even<0>},
    {"false", plain<is_same_as_false>},
    {"filter", is_name_of<find_filter>},
    {"float", plain<is_float>},
    {"ge", with_other<is_greater_equal>},
    {"greaterthan", with_other<is_greater>},
    {"gt", with_other<is_greater>},
    {"in", with_other<is_in>},
    {"integer", plain<is_integer>},
    {"iterable", plain<is_iterable>},
    {"le", with_other<less_equal>},
    {"lessthan", with_other<less>},
    {"lower", is_in_case<false>},
    {"lt", with_other<less>},
    {"mapping", plain<is_mapping>},
    {"ne", with_other<is_not_equal>},
    {"none", plain<is_none>},
    {"number", plain<is_number>},
    {"odd", is_odd_or_even<1>},
    {"sameas", with_other<is_same>},
    {"sequence", plain<is_sequence>},
    {"string", plain<is_text>},
    {"test", is_name_of<find_test>},
    {"true", plain<is_same_as_true>},
    {"undefined", plain<is_undefined>},
    {"upper", is_in_case<true>},
    // The spellings that only select('==', …) can reach.
    {"==", with_other<equal>},
    {"!=", with_other<is_not_equal>},
    {"<", with_other<less>},
    {"<=", with_other<less_equal>},
    {">", with_other<is_greater>},
    {">=", with_other<is_greater_equal>},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto* it = std::find_if(std::begin(kTests), std::end(kTests),
                                [&](const NamedTest& entry) { return entry.name == name; });
  return it == std::end(kTests) ? nullptr : it->function;
}

}  // namespace octet::text::jinja
