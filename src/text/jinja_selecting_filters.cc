// map, select, reject, selectattr and rejectattr: filters that apply other filters and tests by name.
#include <algorithm>
#include <string>
#include <vector>

#include "text/jinja_access.h"
#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_tests.h"

namespace octet::text::jinja {
namespace {

// The first argument as a name; the others are for what it names.
std::string take_name(Arguments& arguments, const char* filter) {
  if (arguments.positional.empty() || !arguments.positional[0].text()) {
    fail(std::string(filter) + " wants a name as its first argument");
  }
  std::string name = *arguments.positional[0].text();
  arguments.positional.erase(arguments.positional.begin());
  return name;
}

Value map_attribute(Runtime& runtime, const std::vector<Value>& items, const Arguments& arguments) {
  const auto bound = bind("map", arguments, {"attribute", "default"});
  std::vector<Value> result;
  for (const Value& item : items) {
    Value value = get_path(runtime, item, *bound[0]);
    if (value.is_undefined() && bound[1] && !bound[1]->is_none()) value = *bound[1];
    result.push_back(std::move(value));
  }
  return make_sequence(runtime, SequenceKind::generator, std::move(result));
}

Value map(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const Runtime::Level level(runtime);  // map('map', …)
  if (!is_true(input)) return make_sequence(runtime, SequenceKind::generator, {});
  const SequencePtr list = iterate(runtime, input);
  const bool by_attribute = std::any_of(arguments.keyword.begin(), arguments.keyword.end(),
                                        [](const auto& argument) { return argument.first == "attribute"; });
  if (arguments.positional.empty() && by_attribute) return map_attribute(runtime, list->items, arguments);
  Arguments rest = arguments;
  const std::string name = take_name(rest, "map");
  const FilterFunction filter = find_filter(name);
  if (!filter) fail("unsupported filter '" + name + "'");
  std::vector<Value> result;
  for (const Value& item : list->items) {
    runtime.step();
    result.push_back(filter(runtime, item, rest));
  }
  return make_sequence(runtime, SequenceKind::generator, std::move(result));
}

template <bool kKeep, bool kByAttribute>
Value select(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const Runtime::Level level(runtime);
  if (!is_true(input)) return make_sequence(runtime, SequenceKind::generator, {});
  Arguments rest = arguments;
  Value path;
  if (kByAttribute) {
    if (rest.positional.empty()) fail("selectattr wants the name of an attribute");
    path = rest.positional[0];
    rest.positional.erase(rest.positional.begin());
  }
  TestFunction test = nullptr;
  if (!rest.positional.empty()) {
    const std::string name = take_name(rest, "select");
    test = find_test(name);
    if (!test) fail("unsupported test '" + name + "'");
  }
  std::vector<Value> result;
  const SequencePtr list = iterate(runtime, input);
  for (const Value& item : list->items) {
    runtime.step();
    const Value subject = kByAttribute ? get_path(runtime, item, path) : item;
    if ((test ? test(runtime, subject, rest) : is_true(subject)) == kKeep) result.push_back(item);
  }
  return make_sequence(runtime, SequenceKind::generator, std::move(result));
}

struct SelectingFilter {
  std::string_view name;
  FilterFunction function;
};

constexpr SelectingFilter kSelectingFilters[] = {
    {"map", map},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
};

}  // namespace

FilterFunction find_selecting_filter(std::string_view name) {
  const auto* it = std::find_if(std::begin(kSelectingFilters), std::end(kSelectingFilters),
                                [&](const SelectingFilter& entry) { return entry.name == name; });
  return it == std::end(kSelectingFilters) ? nullptr : it->function;
}

}  // namespace octet::text::jinja
