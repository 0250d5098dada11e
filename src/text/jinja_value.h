// Value: what an expression of a chat template evaluates to, with Python's types and Python's rules.
//
// Cheap to copy. Texts, lists, tuples and dicts are immutable, as in transformers' sandbox, so values cannot
// form cycles; the exceptions, namespaces and macros, are owned by the Runtime. Texts are valid UTF-8.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_runtime.h"

namespace octet::text::jinja {

class Dict;
struct Callable;
struct Loop;
struct Sequence;

// Something that is not there. Prints as nothing; using it in any other way fails with `why`.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
struct None {};

using TextPtr = std::shared_ptr<const std::string>;
using SequencePtr = std::shared_ptr<const Sequence>;
using DictPtr = std::shared_ptr<const Dict>;
using LoopPtr = std::shared_ptr<const Loop>;
using CallablePtr = std::shared_ptr<const Callable>;

class Value {
 public:
  Value() : storage_(None{}) {}
  Value(Undefined v) : storage_(std::move(v)) {}
  explicit Value(bool v) : storage_(v) {}
  explicit Value(std::int64_t v) : storage_(v) {}
  explicit Value(double v) : storage_(v) {}
  explicit Value(std::string v) : storage_(std::make_shared<const std::string>(std::move(v))) {}
  explicit Value(std::string_view v) : Value(std::string(v)) {}
  explicit Value(const char* v) : Value(std::string(v)) {}
  Value(SequencePtr v) : storage_(std::move(v)) {}
  Value(DictPtr v) : storage_(std::move(v)) {}
  Value(LoopPtr v) : storage_(std::move(v)) {}
  Value(CallablePtr v) : storage_(std::move(v)) {}
  explicit Value(Namespace* v) : storage_(v) {}
  explicit Value(const Macro* v) : storage_(v) {}

  // The value as T, or nullptr where it is of another type.
  template <typename T>
  const T* get() const {
    return std::get_if<T>(&storage_);
  }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  const std::string* text() const { return get<TextPtr>() ? get<TextPtr>()->get() : nullptr; }
  const Sequence* sequence() const { return get<SequencePtr>() ? get<SequencePtr>()->get() : nullptr; }
  const Dict* dict() const { return get<DictPtr>() ? get<DictPtr>()->get() : nullptr; }

  const auto& storage() const { return storage_; }

 private:
  std::variant<Undefined, None, bool, std::int64_t, double, TextPtr, SequencePtr, DictPtr, LoopPtr, CallablePtr,
               Namespace*, const Macro*>
      storage_;
};

Value undefined(std::string why);

// Jinja's filters return generators and dict methods return views. Both differ from lists in ways that
// templates can see (a generator is always true, has no length and is used up), so they are told apart.
enum class SequenceKind { list, tuple, range, dict_keys, dict_values, dict_items, generator };

// range(start, stop, step), which prints as that and not as its items.
struct RangeBounds {
  std::int64_t start = 0;
  std::int64_t stop = 0;
  std::int64_t step = 1;
};

struct Sequence {
  SequenceKind kind = SequenceKind::list;
  std::vector<Value> items;
  int depth = 1;                 // 1 + the deepest item
  RangeBounds bounds;            // of a range
  mutable std::size_t next = 0;  // items that a generator has already given
};

// Charges the runtime for the items and checks the depth.
Value make_sequence(Runtime& runtime, SequenceKind kind, std::vector<Value> items, RangeBounds bounds = {});

// Members in the order in which they were first set. Keys are as in Python: 1, 1.0 and true are one key.
class Dict {
 public:
  // Throws Failure for a key that Python cannot hash.
  void set(Value key, Value value);
  const Value* find(const Value& key) const;  // nullptr where absent; throws as set() does
  const Value* find(std::string_view key) const;
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  int depth() const { return depth_; }

 private:
  std::size_t position_of(const Value& key) const;  // size() where absent

  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_multimap<std::size_t, std::size_t> index_;  // hash to position; empty while the dict is small
  int depth_ = 1;
};

Value make_dict(Runtime& runtime, Dict dict);

struct Namespace {
  Dict attributes;
};

// A macro or the body of a call block; the interpreter derives from it.
struct Macro {
  std::string name;
  virtual ~Macro() = default;
};

// The `loop` variable of one for statement.
struct Loop {
  SequencePtr items;
  std::size_t index = 0;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

// A built-in function or a method bound to its object.
struct Callable {
  using Function = Value (*)(Runtime& runtime, const Value& self, const Arguments& arguments);
  std::string_view name;
  Function function = nullptr;
  Value self;
};

// Arguments matched to parameter names, nullptr where not given. An empty name is positional only.
// Throws Failure for too many, unknown, doubled, or fewer than `required` arguments.
std::vector<const Value*> bind(std::string_view callee, const Arguments& arguments,
                               std::initializer_list<std::string_view> names, std::size_t required = 0);

// Python's names: 'str', 'int', 'NoneType', …
std::string_view type_name(const Value& value);
bool is_true(const Value& value);
// A rough number of bytes that an operation over the value touches; constant time.
std::size_t weight(const Value& value);

}  // namespace octet::text::jinja
