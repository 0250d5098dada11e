// Filters over lists, dicts and other sequences.
#include <algorithm>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "text/jinja_access.h"
#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

bool given(const Value* value) { return value && is_true(*value); }

// What Jinja sorts and compares by: lower case unless case_sensitive.
Value sort_key(Runtime& runtime, const Value& item, const Value* case_sensitive, const Value* path) {
  Value key = path ? get_path(runtime, item, *path) : item;
  if (given(case_sensitive) || !key.text()) return key;
  runtime.use_bytes(key.text()->size());
  return Value(to_lower(*key.text()));
}

Value count(Runtime&, const Value& input, const Arguments& arguments) {
  bind("length", arguments, {});
  const auto length = length_of(input);
  if (!length) fail("object of type " + quoted(type_name(input)) + " has no len()");
  return Value(*length);
}

Value join(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("join", arguments, {"d", "attribute"});
  const std::string separator = bound[0] ? to_text(runtime, *bound[0]) : "";
  const bool by_attribute = bound[1] && !bound[1]->is_none();
  const SequencePtr items = iterate(runtime, input);
  std::string out;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    runtime.step();
    if (i != 0) out += separator;
    const Value& item = items->items[i];
    out += to_text(runtime, by_attribute ? get_path(runtime, item, *bound[1]) : item);
    runtime.check_text(out.size());
  }
  runtime.use_bytes(out.size());
  return Value(std::move(out));
}

Value first(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("first", arguments, {});
  if (const Sequence* sequence = input.sequence(); sequence && sequence->kind == SequenceKind::generator) {
    // Takes one and leaves the others.
    if (sequence->next < sequence->items.size()) return sequence->items[sequence->next++];
    return undefined("No first item, sequence was empty.");
  }
  if (const std::string* text = input.text()) {
    return text->empty() ? undefined("No first item, sequence was empty.")
                         : Value(std::string_view(*text).substr(0, code_point_at(*text, 0).size));
  }
  const SequencePtr items = iterate(runtime, input);
  return items->items.empty() ? undefined("No first item, sequence was empty.") : items->items.front();
}

Value last(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("last", arguments, {});
  if (const Sequence* sequence = input.sequence(); sequence && sequence->kind == SequenceKind::generator) {
    fail("'generator' object is not reversible");
  }
  if (const std::string* text = input.text(); text && !text->empty()) {
    const std::size_t size = code_point_before(*text, text->size()).size;
    return Value(std::string_view(*text).substr(text->size() - size));
  }
  const SequencePtr items = iterate(runtime, input);
  return items->items.empty() ? undefined("No last item, sequence was empty.") : items->items.back();
}

Value to_list(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("list", arguments, {});
  return make_sequence(runtime, SequenceKind::list, iterate(runtime, input)->items);
}

Value reverse(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("reverse", arguments, {});
  if (const std::string* text = input.text()) {
    runtime.use_bytes(text->size() * 8);
    const auto all = characters(*text);
    std::string out;
    for (auto it = all.rbegin(); it != all.rend(); ++it) out += *it;
    return Value(std::move(out));
  }
  std::vector<Value> items = iterate(runtime, input)->items;
  std::reverse(items.begin(), items.end());
  // An iterator in Python, but a list where the input cannot be walked backwards.
  const bool is_generator = input.sequence() && input.sequence()->kind == SequenceKind::generator;
  return make_sequence(runtime, is_generator ? SequenceKind::list : SequenceKind::generator, std::move(items));
}

Value items(Runtime& runtime, const Value& input, const Arguments& arguments) {
  bind("items", arguments, {});
  std::vector<Value> pairs;
  if (!input.is_undefined()) {
    if (!input.dict()) fail("Can only get item pairs from a mapping.");
    for (const auto& [key, value] : input.dict()->entries()) {
      pairs.push_back(make_sequence(runtime, SequenceKind::tuple, {key, value}));
    }
  }
  return make_sequence(runtime, SequenceKind::generator, std::move(pairs));
}

// Stable, and as in Python a descending sort keeps equal items in their order.
std::vector<Value> sorted(Runtime& runtime, const std::vector<Value>& items, const std::vector<Value>& keys,
                          bool descending) {
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return descending ? less(runtime, keys[b], keys[a]) : less(runtime, keys[a], keys[b]);
  });
  std::vector<Value> result;
  for (const std::size_t i : order) result.push_back(items[i]);
  return result;
}

Value sort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const SequencePtr list = iterate(runtime, input);
  // attribute="a,b" sorts by a, then b.
  std::vector<Value> paths;
  if (bound[2] && bound[2]->text()) {
    for (const std::string_view path : split(*bound[2]->text(), ",")) paths.emplace_back(path);
  } else {
    paths.push_back(bound[2] ? *bound[2] : Value());
  }
  std::vector<Value> keys;
  for (const Value& item : list->items) {
    std::vector<Value> key;
    for (const Value& path : paths) key.push_back(sort_key(runtime, item, bound[1], &path));
    keys.push_back(make_sequence(runtime, SequenceKind::list, std::move(key)));
  }
  return make_sequence(runtime, SequenceKind::list, sorted(runtime, list->items, keys, given(bound[0])));
}

Value dict_sort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound[1] && bound[1]->text() ? *bound[1]->text() : "key";
  if (by != "key" && by != "value") fail("dictsort sorts by 'key' or 'value'");
  require_defined(input);
  if (!input.dict()) fail("dictsort wants a dict, not " + quoted(type_name(input)));
  std::vector<Value> pairs;
  std::vector<Value> keys;
  for (const auto& [key, value] : input.dict()->entries()) {
    pairs.push_back(make_sequence(runtime, SequenceKind::tuple, {key, value}));
    keys.push_back(sort_key(runtime, by == "key" ? key : value, bound[0], nullptr));
  }
  return make_sequence(runtime, SequenceKind::list, sorted(runtime, pairs, keys, given(bound[2])));
}

Value unique(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("unique", arguments, {"case_sensitive", "attribute"});
  Dict seen;
  std::vector<Value> result;
  const SequencePtr list = iterate(runtime, input);
  for (const Value& item : list->items) {
    runtime.step();
    Value key = sort_key(runtime, item, bound[0], bound[1]);
    if (seen.find(key)) continue;
    seen.set(std::move(key), Value());
    result.push_back(item);
  }
  return make_sequence(runtime, SequenceKind::generator, std::move(result));
}

template <bool kMost>
Value least_or_most(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind(kMost ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const SequencePtr list = iterate(runtime, input);
  if (list->items.empty()) return undefined("No aggregated item, sequence was empty.");
  const Value* best = nullptr;
  Value best_key;
  for (const Value& item : list->items) {
    Value key = sort_key(runtime, item, bound[0], bound[1]);
    if (best && !(kMost ? less(runtime, best_key, key) : less(runtime, key, best_key))) continue;
    best = &item;
    best_key = std::move(key);
  }
  return *best;
}

Value batch(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const auto bound = bind("batch", arguments, {"linecount", "fill_with"}, 1);
  const auto size = as_integer(*bound[0]);
  if (!size || *size < 1 || *size > kMaxRange) fail("batch wants a positive number of items");
  const auto width = static_cast<std::size_t>(*size);
  const SequencePtr list = iterate(runtime, input);
  std::vector<Value> rows;
  for (std::size_t begin = 0; begin < list->items.size(); begin += width) {
    const std::size_t end = std::min(begin + width, list->items.size());
    std::vector<Value> row(list->items.begin() + static_cast<std::ptrdiff_t>(begin),
                           list->items.begin() + static_cast<std::ptrdiff_t>(end));
    if (bound[1] && !bound[1]->is_none()) row.resize(width, *bound[1]);
    rows.push_back(make_sequence(runtime, SequenceKind::list, std::move(row)));
  }
  return make_sequence(runtime, SequenceKind::generator, std::move(rows));
}

struct SequenceFilter {
  std::string_view name;
  FilterFunction function;
};

constexpr SequenceFilter kSequenceFilters[] = {
    {"batch", batch},
    {"count", count},
    {"dictsort", dict_sort},
    {"first", first},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", count},
    {"list", to_list},
    {"max", least_or_most<true>},
    {"min", least_or_most<false>},
    {"reverse", reverse},
    {"sort", sort},
    {"unique", unique},
};

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) {
  const auto* it = std::find_if(std::begin(kSequenceFilters), std::end(kSequenceFilters),
                                [&](const SequenceFilter& entry) { return entry.name == name; });
  return it == std::end(kSequenceFilters) ? nullptr : it->function;
}

}  // namespace octet::text::jinja
