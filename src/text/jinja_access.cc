#include "text/jinja_access.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

std::string described(const Value& object) {
  return object.is_none() ? "None" : std::string(type_name(object)) + " object";
}

Value missing_attribute(const Value& object, std::string_view name) {
  return undefined(quoted(described(object)) + " has no attribute " + quoted(name));
}

Value loop_attribute(const LoopPtr& loop, std::string_view name) {
  const auto index = static_cast<std::int64_t>(loop->index);
  const auto count = static_cast<std::int64_t>(loop->items->items.size());
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(count - index);
  if (name == "revindex0") return Value(count - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index == count - 1);
  if (name == "length") return Value(count);
  if (name == "depth") return Value(std::int64_t{1});  // loops are never recursive
  if (name == "depth0") return Value(std::int64_t{0});
  if (name == "previtem") {
    return index > 0 ? loop->items->items[loop->index - 1] : undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < count ? loop->items->items[loop->index + 1] : undefined("there is no next item");
  }
  return missing_attribute(Value(loop), name);
}

std::optional<Value> attribute_of(const Value& object, std::string_view name) {
  require_defined(object);
  if (const auto* space = object.get<Namespace*>()) {
    const Value* value = (*space)->attributes.find(name);
    return value ? std::optional<Value>(*value) : std::nullopt;
  }
  if (const auto* macro = object.get<const Macro*>()) {
    if (name == "name") return Value((*macro)->name);
    return std::nullopt;
  }
  return find_method(object, name);
}

// Nothing where the object has no such item, or no items at all.
std::optional<Value> item_of(Runtime& runtime, const Value& object, const Value& index) {
  require_defined(object);
  if (const Dict* dict = object.dict()) {
    if (index.sequence() || index.dict()) return std::nullopt;
    const Value* value = dict->find(index);
    return value ? std::optional<Value>(*value) : std::nullopt;
  }
  const auto integer = as_integer(index);
  if (!integer) return std::nullopt;
  if (const std::string* text = object.text()) {
    runtime.use_bytes(text->size());
    const auto count = static_cast<std::int64_t>(length(*text));
    const std::int64_t at = *integer < 0 ? *integer + count : *integer;
    if (at < 0 || at >= count) return std::nullopt;
    const std::size_t begin = offset_of(*text, static_cast<std::size_t>(at));
    return Value(std::string_view(*text).substr(begin, code_point_at(*text, begin).size));
  }
  const Sequence* sequence = object.sequence();
  if (!sequence || sequence->kind > SequenceKind::range) return std::nullopt;  // views have no items
  const auto count = static_cast<std::int64_t>(sequence->items.size());
  const std::int64_t at = *integer < 0 ? *integer + count : *integer;
  if (at < 0 || at >= count) return std::nullopt;
  return sequence->items[static_cast<std::size_t>(at)];
}

// Python's slice arithmetic: the indices that start:stop:step takes from `count` items.
struct SliceBounds {
  std::int64_t start = 0;
  std::int64_t stop = 0;
  std::int64_t step = 1;

  SliceBounds(std::int64_t count, std::optional<std::int64_t> first, std::optional<std::int64_t> last,
              std::int64_t stride)
      : step(stride) {
    const std::int64_t least = step > 0 ? 0 : -1;
    const std::int64_t most = step > 0 ? count : count - 1;
    const auto clamp = [&](std::int64_t index) {
      return std::clamp(index < 0 ? index + count : index, least, most);
    };
    start = first ? clamp(*first) : step > 0 ? least : most;
    stop = last ? clamp(*last) : step > 0 ? most : least;
  }

  template <typename Visit>
  void each(Visit visit) const {
    for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
      visit(static_cast<std::size_t>(i));
      if (__builtin_add_overflow(i, step, &i)) break;
    }
  }
};

Value slice_text(Runtime& runtime, const std::string& text, const SliceBounds& bounds) {
  if (bounds.step == 1) {
    if (bounds.stop <= bounds.start) return Value("");
    const std::size_t begin = offset_of(text, static_cast<std::size_t>(bounds.start));
    const std::string_view rest = std::string_view(text).substr(begin);
    return Value(rest.substr(0, offset_of(rest, static_cast<std::size_t>(bounds.stop - bounds.start))));
  }
  runtime.use_bytes(text.size() * sizeof(std::string_view));
  const std::vector<std::string_view> all = characters(text);
  std::string result;
  bounds.each([&](std::size_t i) { result += all[i]; });
  return Value(std::move(result));
}

}  // namespace

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (const auto* loop = object.get<LoopPtr>()) {
    if (auto method = find_method(object, name)) return *method;
    return loop_attribute(*loop, name);
  }
  if (auto value = attribute_of(object, name)) return *std::move(value);
  if (object.dict()) {
    if (auto value = item_of(runtime, object, Value(name))) return *std::move(value);
  }
  return missing_attribute(object, name);
}

Value get_item(Runtime& runtime, const Value& object, const Value& index) {
  if (auto value = item_of(runtime, object, index)) return *std::move(value);
  if (const std::string* name = index.text()) {
    if (object.get<LoopPtr>()) return get_attribute(runtime, object, *name);
    if (auto value = attribute_of(object, *name)) return *std::move(value);
    return missing_attribute(object, *name);
  }
  return undefined(quoted(described(object)) + " has no element " + to_repr(runtime, index));
}

Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  require_defined(object);
  const auto is_bound = [](const Value& v) { return v.is_none() || as_integer(v); };
  const Sequence* sequence = object.sequence();
  const bool sliceable = object.text() || (sequence && sequence->kind <= SequenceKind::range);
  if (!sliceable || !is_bound(start) || !is_bound(stop) || !is_bound(step)) {
    fail(quoted(described(object)) + " cannot be sliced like this");
  }
  const std::int64_t stride = as_integer(step).value_or(1);
  if (stride == 0) fail("slice step cannot be zero");
  runtime.use_bytes(weight(object));
  const SliceBounds bounds(*length_of(object), as_integer(start), as_integer(stop), stride);
  if (const std::string* text = object.text()) return slice_text(runtime, *text, bounds);
  std::vector<Value> items;
  bounds.each([&](std::size_t i) { items.push_back(sequence->items[i]); });
  RangeBounds range;
  if (sequence->kind == SequenceKind::range) {
    const RangeBounds& whole = sequence->bounds;
    const bool fits = !__builtin_mul_overflow(whole.step, bounds.start, &range.start) &&
                      !__builtin_add_overflow(range.start, whole.start, &range.start) &&
                      !__builtin_mul_overflow(whole.step, bounds.stop, &range.stop) &&
                      !__builtin_add_overflow(range.stop, whole.start, &range.stop) &&
                      !__builtin_mul_overflow(whole.step, stride, &range.step);
    if (!fits) fail("a slice of a range does not fit in 64 bits");
  }
  return make_sequence(runtime, sequence->kind, std::move(items), range);
}

Value get_path(Runtime& runtime, const Value& object, const Value& path) {
  if (!path.text()) return path.is_none() ? object : get_item(runtime, object, path);
  Value value = object;
  for (const std::string_view part : split(*path.text(), ".")) {
    runtime.step();
    std::int64_t index = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index =
        !part.empty() && part[0] != '-' && parsed.ec == std::errc() && parsed.ptr == part.data() + part.size();
    value = get_item(runtime, value, is_index ? Value(index) : Value(part));
  }
  return value;
}

}  // namespace octet::text::jinja
