#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>

namespace octet::text::jinja {
namespace {

constexpr std::size_t kIndexedDictSize = 12;

int depth_of(const Value& value) {
  if (const Sequence* sequence = value.sequence()) return sequence->depth;
  if (const Dict* dict = value.dict()) return dict->depth();
  return 0;
}

int checked_depth(int depth) {
  if (depth > kMaxValueDepth) fail("a value is nested more than " + std::to_string(kMaxValueDepth) + " deep");
  return depth;
}

// bool, int and float as one number; false for other types.
bool as_key_number(const Value& value, double& number) {
  if (const bool* b = value.get<bool>()) return number = *b, true;
  if (const std::int64_t* i = value.get<std::int64_t>()) return number = static_cast<double>(*i), true;
  if (const double* d = value.get<double>()) return number = *d, true;
  return false;
}

std::size_t hash_key(const Value& key, bool inside_tuple = false) {
  double number = 0;
  if (const std::string* text = key.text()) return std::hash<std::string>{}(*text);
  if (as_key_number(key, number)) return std::hash<double>{}(number);
  if (key.is_none()) return 1;
  if (key.is_undefined()) return 2;
  const Sequence* sequence = key.sequence();
  if (sequence && sequence->kind == SequenceKind::tuple && !inside_tuple) {
    std::size_t hash = 17;
    for (const Value& item : sequence->items) hash = hash * 31 + hash_key(item, true);
    return hash;
  }
  if (inside_tuple) fail("a tuple that holds " + quoted(type_name(key)) + " is not supported as a key");
  if (sequence && sequence->kind != SequenceKind::list) {
    fail("a key of type " + quoted(type_name(key)) + " is not supported");
  }
  fail("unhashable type: " + quoted(type_name(key)));
}

bool same_key(const Value& a, const Value& b) {
  if (a.text() && b.text()) return *a.text() == *b.text();
  const std::int64_t* int_a = a.get<std::int64_t>();
  const std::int64_t* int_b = b.get<std::int64_t>();
  if (int_a && int_b) return *int_a == *int_b;
  double number_a = 0;
  double number_b = 0;
  if (as_key_number(a, number_a) && as_key_number(b, number_b)) return number_a == number_b;
  if ((a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined())) return true;
  if (a.sequence() && b.sequence()) {
    return std::equal(a.sequence()->items.begin(), a.sequence()->items.end(), b.sequence()->items.begin(),
                      b.sequence()->items.end(), same_key);
  }
  return false;
}

}  // namespace

Value undefined(std::string why) {
  return Value(Undefined{std::make_shared<const std::string>(std::move(why))});
}

Value make_sequence(Runtime& runtime, SequenceKind kind, std::vector<Value> items, RangeBounds bounds) {
  runtime.use_bytes(sizeof(Sequence) + items.size() * sizeof(Value));
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = kind;
  for (const Value& item : items) sequence->depth = std::max(sequence->depth, 1 + depth_of(item));
  checked_depth(sequence->depth);
  sequence->items = std::move(items);
  sequence->bounds = bounds;
  return Value(SequencePtr(std::move(sequence)));
}

Value make_dict(Runtime& runtime, Dict dict) {
  runtime.use_bytes(sizeof(Dict) + dict.size() * 4 * sizeof(Value));
  return Value(DictPtr(std::make_shared<const Dict>(std::move(dict))));
}

std::size_t Dict::position_of(const Value& key) const {
  const std::size_t hash = hash_key(key);  // first, because it refuses what cannot be a key
  if (index_.empty()) {
    std::size_t at = 0;
    while (at < entries_.size() && !same_key(entries_[at].first, key)) ++at;
    return at;
  }
  const auto [begin, end] = index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (same_key(entries_[it->second].first, key)) return it->second;
  }
  return entries_.size();
}

void Dict::set(Value key, Value value) {
  depth_ = checked_depth(std::max({depth_, 1 + depth_of(key), 1 + depth_of(value)}));
  const std::size_t at = position_of(key);
  if (at < entries_.size()) {
    entries_[at].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (!index_.empty()) {
    index_.emplace(hash_key(entries_.back().first), at);
  } else if (entries_.size() > kIndexedDictSize) {
    for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash_key(entries_[i].first), i);
  }
}

const Value* Dict::find(const Value& key) const {
  const std::size_t at = position_of(key);
  return at < entries_.size() ? &entries_[at].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (!index_.empty()) return find(Value(key));
  for (const auto& [name, value] : entries_) {
    if (name.text() && *name.text() == key) return &value;
  }
  return nullptr;
}

std::vector<const Value*> bind(std::string_view callee, const Arguments& arguments,
                               std::initializer_list<std::string_view> names, std::size_t required) {
  const std::string function = std::string(callee) + "()";
  if (arguments.positional.size() > names.size()) {
    fail(function + " takes at most " + std::to_string(names.size()) + " arguments (" +
         std::to_string(arguments.positional.size()) + " given)");
  }
  std::vector<const Value*> bound(names.size(), nullptr);
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.keyword) {
    const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    if (at == names.size() || name.empty()) {
      fail(function + " got an unexpected keyword argument '" + name + "'");
    }
    if (bound[at]) fail(function + " got multiple values for argument '" + name + "'");
    bound[at] = &value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!bound[i]) fail(function + " is missing its argument " + std::to_string(i + 1));
  }
  return bound;
}

std::string_view type_name(const Value& value) {
  struct Visitor {
    std::string_view operator()(const Undefined&) const { return "Undefined"; }
    std::string_view operator()(const None&) const { return "NoneType"; }
    std::string_view operator()(bool) const { return "bool"; }
    std::string_view operator()(std::int64_t) const { return "int"; }
    std::string_view operator()(double) const { return "float"; }
    std::string_view operator()(const TextPtr&) const { return "str"; }
    std::string_view operator()(const SequencePtr& sequence) const {
      constexpr std::string_view kNames[] = {"list",        "tuple",      "range",    "dict_keys",
                                             "dict_values", "dict_items", "generator"};
      return kNames[static_cast<std::size_t>(sequence->kind)];
    }
    std::string_view operator()(const DictPtr&) const { return "dict"; }
    std::string_view operator()(const LoopPtr&) const { return "LoopContext"; }
    std::string_view operator()(const CallablePtr&) const { return "function"; }
    std::string_view operator()(Namespace*) const { return "Namespace"; }
    std::string_view operator()(const Macro*) const { return "Macro"; }
  };
  return std::visit(Visitor{}, value.storage());
}

bool is_true(const Value& value) {
  struct Visitor {
    bool operator()(const Undefined&) const { return false; }
    bool operator()(const None&) const { return false; }
    bool operator()(bool v) const { return v; }
    bool operator()(std::int64_t v) const { return v != 0; }
    bool operator()(double v) const { return v != 0; }
    bool operator()(const TextPtr& v) const { return !v->empty(); }
    bool operator()(const SequencePtr& v) const {
      return v->kind == SequenceKind::generator || !v->items.empty();
    }
    bool operator()(const DictPtr& v) const { return v->size() != 0; }
    bool operator()(const LoopPtr&) const { return true; }
    bool operator()(const CallablePtr&) const { return true; }
    bool operator()(Namespace*) const { return true; }
    bool operator()(const Macro*) const { return true; }
  };
  return std::visit(Visitor{}, value.storage());
}

std::size_t weight(const Value& value) {
  if (const std::string* text = value.text()) return text->size();
  if (const Sequence* sequence = value.sequence()) return sequence->items.size() * sizeof(Value);
  if (const Dict* dict = value.dict()) return dict->size() * 2 * sizeof(Value);
  return 0;
}

}  // namespace octet::text::jinja
