#include "text/jinja_methods.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "text/jinja_format.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

using Function = Callable::Function;

struct Method {
  std::string_view name;
  Function function;
};

const std::string& self_text(Runtime& runtime, const Value& self) {
  runtime.use_bytes(self.text()->size());
  return *self.text();
}

// The text argument of a method, required.
const std::string& text_argument(const Value* value, const char* method) {
  if (!value->text()) {
    require_defined(*value);
    fail(std::string(method) + "() wants a text, not " + quoted(type_name(*value)));
  }
  return *value->text();
}

std::int64_t integer_argument(const Value* value, const char* method, std::int64_t otherwise) {
  if (!value) return otherwise;
  const auto integer = as_integer(*value);
  if (!integer) {
    require_defined(*value);
    fail(std::string(method) + "() wants an integer, not " + quoted(type_name(*value)));
  }
  return *integer;
}

// ---- Texts

template <Side kSide>
Value strip_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("strip", arguments, {""});
  const std::string& text = self_text(runtime, self);
  if (!bound[0] || bound[0]->is_none()) return Value(strip(text, kSide));
  const std::string& chars = text_argument(bound[0], "strip");
  charge_search(runtime, text, chars);
  return Value(strip(text, kSide, chars));
}

template <auto kSplit>
Value split_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("split", arguments, {"sep", "maxsplit"});
  const std::string& text = self_text(runtime, self);
  const std::int64_t most = integer_argument(bound[1], "split", -1);
  std::optional<std::string_view> separator;
  if (bound[0] && !bound[0]->is_none()) {
    separator = text_argument(bound[0], "split");
    if (separator->empty()) fail("empty separator");
    charge_search(runtime, text, *separator);
  }
  const std::vector<std::string_view> parts = kSplit(text, separator, static_cast<long>(most));
  runtime.use_bytes(parts.size() * sizeof(std::string));
  return make_sequence(runtime, SequenceKind::list, std::vector<Value>(parts.begin(), parts.end()));
}

Value split_lines_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("splitlines", arguments, {"keepends"});
  const auto lines = split_lines(self_text(runtime, self), bound[0] && is_true(*bound[0]));
  runtime.use_bytes(lines.size() * sizeof(std::string));
  return make_sequence(runtime, SequenceKind::list, std::vector<Value>(lines.begin(), lines.end()));
}

template <bool kFromRight>
Value partition_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("partition", arguments, {""}, 1);
  const std::string_view text = self_text(runtime, self);
  const std::string& separator = text_argument(bound[0], "partition");
  if (separator.empty()) fail("empty separator");
  charge_search(runtime, text, separator);
  const std::size_t at = kFromRight ? text.rfind(separator) : text.find(separator);
  std::vector<Value> parts;
  if (at == std::string_view::npos) {
    parts = {Value(kFromRight ? "" : text), Value(""), Value(kFromRight ? text : "")};
  } else {
    parts = {Value(text.substr(0, at)), Value(separator), Value(text.substr(at + separator.size()))};
  }
  return make_sequence(runtime, SequenceKind::tuple, std::move(parts));
}

// The part of a text that optional start and end arguments select.
struct Window {
  std::string_view text;
  std::size_t begin = 0;  // in bytes
  bool valid = true;      // false: start is behind the end, where not even '' is found

  Window(std::string_view all, const Value* start, const Value* end, const char* method) : text(all) {
    const auto given = [](const Value* v) { return v && !v->is_none(); };
    if (!given(start) && !given(end)) return;
    const auto count = static_cast<std::int64_t>(length(all));
    const auto resolve = [&](const Value* v, std::int64_t otherwise) {
      const std::int64_t index = given(v) ? integer_argument(v, method, 0) : otherwise;
      return index < 0 ? std::max<std::int64_t>(index + count, 0) : index;
    };
    const std::int64_t first = resolve(start, 0);
    const std::int64_t last = std::min(resolve(end, count), count);
    valid = first <= last;
    if (!valid) return;
    begin = offset_of(all, static_cast<std::size_t>(first));
    text = all.substr(begin, offset_of(all, static_cast<std::size_t>(last)) - begin);
  }
};

template <bool kAtEnd>
Value starts_or_ends_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const char* name = kAtEnd ? "endswith" : "startswith";
  const auto bound = bind(name, arguments, {"", "", ""}, 1);
  const Window window(self_text(runtime, self), bound[1], bound[2], name);
  const auto matches = [&](const Value& affix) {
    const std::string& text = text_argument(&affix, name);
    return window.valid && (kAtEnd ? window.text.ends_with(text) : window.text.starts_with(text));
  };
  const Sequence* several = bound[0]->sequence();
  if (!several || several->kind != SequenceKind::tuple) return Value(matches(*bound[0]));
  return Value(std::any_of(several->items.begin(), several->items.end(), matches));
}

// find, rfind, index and rindex.
template <bool kFromRight, bool kMustBeThere>
Value find_method_of_text(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("find", arguments, {"", "", ""}, 1);
  const std::string& text = self_text(runtime, self);
  const std::string& needle = text_argument(bound[0], "find");
  charge_search(runtime, text, needle);
  const Window window(text, bound[1], bound[2], "find");
  std::size_t at = std::string_view::npos;
  if (window.valid) at = kFromRight ? window.text.rfind(needle) : window.text.find(needle);
  if (at != std::string_view::npos) {
    return Value(static_cast<std::int64_t>(length(std::string_view(text).substr(0, window.begin + at))));
  }
  if (kMustBeThere) fail("substring not found");
  return Value(std::int64_t{-1});
}

Value count_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("count", arguments, {"", "", ""}, 1);
  const Window window(self_text(runtime, self), bound[1], bound[2], "count");
  const std::string& needle = text_argument(bound[0], "count");
  if (!window.valid) return Value(std::int64_t{0});
  if (needle.empty()) return Value(static_cast<std::int64_t>(length(window.text) + 1));
  charge_search(runtime, window.text, needle);
  return Value(static_cast<std::int64_t>(split(window.text, needle).size()) - 1);
}

Value replace_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("replace", arguments, {"", "", ""}, 2);
  return Value(replace(runtime, self_text(runtime, self), text_argument(bound[0], "replace"),
                       text_argument(bound[1], "replace"), integer_argument(bound[2], "replace", -1)));
}

Value join_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("join", arguments, {""}, 1);
  const SequencePtr items = iterate(runtime, *bound[0]);
  std::string result;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    if (i != 0) result += self_text(runtime, self);
    const std::string& part = text_argument(&items->items[i], "join");
    runtime.use_bytes(part.size());
    runtime.check_text(result.size() + part.size());
    result += part;
  }
  return Value(std::move(result));
}

template <auto kMap>
Value case_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  bind("a text method", arguments, {});
  return Value(kMap(self_text(runtime, self)));
}

// isalpha, isdigit and the like: every character, and at least one.
template <auto kPredicate>
Value is_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  bind("a text method", arguments, {});
  const std::string& text = self_text(runtime, self);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (!kPredicate(c.value)) return Value(false);
    at += c.size;
  }
  return Value(!text.empty());
}

template <bool kUpper>
Value is_case_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  bind("a text method", arguments, {});
  return Value(has_case(self_text(runtime, self), kUpper));
}

template <bool kSuffix>
Value remove_affix_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind(kSuffix ? "removesuffix" : "removeprefix", arguments, {""}, 1);
  std::string_view text = self_text(runtime, self);
  const std::string& affix = text_argument(bound[0], "removeprefix");
  if (kSuffix ? text.ends_with(affix) : text.starts_with(affix)) {
    text = kSuffix ? text.substr(0, text.size() - affix.size()) : text.substr(affix.size());
  }
  return Value(text);
}

Value format_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return Value(format_braces(runtime, *self.text(), arguments));
}

constexpr Method kTextMethods[] = {
    {"capitalize", case_method<capitalize>},
    {"count", count_method},
    {"endswith", starts_or_ends_method<true>},
    {"find", find_method_of_text<false, false>},
    {"format", format_method},
    {"index", find_method_of_text<false, true>},
    {"isalnum", is_method<is_alnum>},
    {"isalpha", is_method<is_alpha>},
    {"isdecimal", is_method<is_decimal>},
    {"isdigit", is_method<is_digit>},
    {"islower", is_case_method<false>},
    {"isspace", is_method<is_space>},
    {"isupper", is_case_method<true>},
    {"join", join_method},
    {"lower", case_method<to_lower>},
    {"lstrip", strip_method<Side::left>},
    {"partition", partition_method<false>},
    {"removeprefix", remove_affix_method<false>},
    {"removesuffix", remove_affix_method<true>},
    {"replace", replace_method},
    {"rfind", find_method_of_text<true, false>},
    {"rindex", find_method_of_text<true, true>},
    {"rpartition", partition_method<true>},
    {"rsplit", split_method<split_right>},
    {"rstrip", strip_method<Side::right>},
    {"split", split_method<split>},
    {"splitlines", split_lines_method},
    {"startswith", starts_or_ends_method<false>},
    {"strip", strip_method<Side::both>},
    {"title", case_method<to_title>},
    {"upper", case_method<to_upper>},
};

// ---- Dicts

Value get_method(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("get", arguments, {"", ""}, 1);
  if (const Value* value = self.dict()->find(*bound[0])) return *value;
  return bound[1] ? *bound[1] : Value();
}

template <SequenceKind kKind>
Value view_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  bind(kKind == SequenceKind::dict_keys ? "keys" : "values", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict()->entries()) {
    items.push_back(kKind == SequenceKind::dict_keys ? key
                    : kKind == SequenceKind::dict_values
                        ? value
                        : make_sequence(runtime, SequenceKind::tuple, {key, value}));
  }
  return make_sequence(runtime, kKind, std::move(items));
}

Value copy_method(Runtime&, const Value& self, const Arguments& arguments) {
  bind("copy", arguments, {});
  return self;  // nothing can change it
}

constexpr Method kDictMethods[] = {
    {"copy", copy_method},
    {"get", get_method},
    {"items", view_method<SequenceKind::dict_items>},
    {"keys", view_method<SequenceKind::dict_keys>},
    {"values", view_method<SequenceKind::dict_values>},
};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

// ---- Lists and tuples

Value list_count_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("count", arguments, {""}, 1);
  const auto& items = self.sequence()->items;
  return Value(static_cast<std::int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return equal(runtime, item, *bound[0]); })));
}

Value list_index_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("index", arguments, {""}, 1);
  const auto& items = self.sequence()->items;
  const auto it = std::find_if(items.begin(), items.end(),
                               [&](const Value& item) { return equal(runtime, item, *bound[0]); });
  if (it == items.end()) fail(to_repr(runtime, *bound[0]) + " is not in list");
  return Value(static_cast<std::int64_t>(it - items.begin()));
}

constexpr Method kListMethods[] = {
    {"count", list_count_method},
    {"index", list_index_method},
};
constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};

// ---- loop

Value cycle_method(Runtime&, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.keyword.empty()) fail("cycle() wants one or more values");
  return arguments.positional[(*self.get<LoopPtr>())->index % arguments.positional.size()];
}

constexpr Method kLoopMethods[] = {{"cycle", cycle_method}};

template <std::size_t kCount>
std::optional<Value> find_in(const Method (&methods)[kCount], const Value& object, std::string_view name) {
  for (const Method& method : methods) {
    if (method.name == name) {
      return Value(std::make_shared<const Callable>(Callable{method.name, method.function, object}));
    }
  }
  return std::nullopt;
}

template <std::size_t kCount>
std::optional<Value> refuse_change(const std::string_view (&changes)[kCount], const Value& object,
                                   std::string_view name) {
  if (std::find(std::begin(changes), std::end(changes), name) == std::end(changes)) return std::nullopt;
  return undefined("a template may not change a " + std::string(type_name(object)) + " (" + std::string(name) +
                   ")");
}

}  // namespace

void charge_search(Runtime& runtime, std::string_view text, std::string_view needle) {
  runtime.use_bytes(text.size() / 64 * needle.size());
}

std::string replace(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t most) {
  charge_search(runtime, text, from);
  std::string result;
  std::size_t begin = 0;
  for (; most != 0; --most) {
    // Between characters: before each one and at the end.
    std::size_t at = from.empty() ? begin : text.find(from, begin);
    if (at == std::string_view::npos) break;
    result += text.substr(begin, at - begin);
    result += to;
    runtime.check_text(result.size());
    begin = at + from.size();
    if (!from.empty()) continue;
    if (at == text.size()) return result;
    const std::size_t size = code_point_at(text, at).size;
    result += text.substr(at, size);
    begin = at + size;
  }
  result += text.substr(begin);
  runtime.use_bytes(result.size());
  return result;
}

std::optional<Value> find_method(const Value& object, std::string_view name) {
  if (object.text()) return find_in(kTextMethods, object, name);
  if (object.dict()) {
    if (auto refusal = refuse_change(kDictChanges, object, name)) return refusal;
    return find_in(kDictMethods, object, name);
  }
  if (const Sequence* sequence = object.sequence()) {
    if (sequence->kind == SequenceKind::list) {
      if (auto refusal = refuse_change(kListChanges, object, name)) return refusal;
      if (name == "copy") return find_in(kDictMethods, object, name);
    }
    if (sequence->kind <= SequenceKind::range) return find_in(kListMethods, object, name);
  }
  if (object.get<LoopPtr>()) return find_in(kLoopMethods, object, name);
  return std::nullopt;
}

}  // namespace octet::text::jinja
