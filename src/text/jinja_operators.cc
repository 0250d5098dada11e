#include "text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "text/jinja_methods.h"
#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

enum class Order { less, equal, greater, none };

Order flip(Order order) {
  return order == Order::less ? Order::greater : order == Order::greater ? Order::less : order;
}

// Exact, as in Python: the integer is not rounded to a double.
Order compare_mixed(std::int64_t a, double b) {
  if (std::isnan(b)) return Order::none;
  constexpr double kTwo63 = 9223372036854775808.0;
  if (b >= kTwo63) return Order::less;
  if (b < -kTwo63) return Order::greater;
  const double whole = std::floor(b);
  const auto integer = static_cast<std::int64_t>(whole);
  if (a != integer) return a < integer ? Order::less : Order::greater;
  return whole < b ? Order::less : Order::equal;
}

template <typename T>
Order compare_values(const T& a, const T& b) {
  return a < b ? Order::less : b < a ? Order::greater : a == b ? Order::equal : Order::none;
}

// Nothing where they are not both numbers.
std::optional<Order> compare_numbers(const Value& a, const Value& b) {
  const auto int_a = as_integer(a);
  const auto int_b = as_integer(b);
  const double* double_a = a.get<double>();
  const double* double_b = b.get<double>();
  if (int_a && int_b) return compare_values(*int_a, *int_b);
  if (double_a && double_b) return compare_values(*double_a, *double_b);
  if (int_a && double_b) return compare_mixed(*int_a, *double_b);
  if (double_a && int_b) return flip(compare_mixed(*int_b, *double_a));
  return std::nullopt;
}

bool same_order_kind(const Value& a, const Value& b) {
  const Sequence* x = a.sequence();
  const Sequence* y = b.sequence();
  return x && y && x->kind == y->kind && (x->kind == SequenceKind::list || x->kind == SequenceKind::tuple);
}

bool equal_dicts(Runtime& runtime, const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(key);
    if (!other || !equal(runtime, value, *other)) return false;
  }
  return true;
}

bool equal_sequences(Runtime& runtime, const Sequence& a, const Sequence& b) {
  if (&a == &b) return true;
  if (a.kind != b.kind || a.kind == SequenceKind::generator || a.kind == SequenceKind::dict_values)
    return false;
  return a.items.size() == b.items.size() &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(),
                    [&](const Value& x, const Value& y) { return equal(runtime, x, y); });
}

Order compare(Runtime& runtime, const char* op, const Value& a, const Value& b) {
  const Runtime::Level level(runtime);
  runtime.step();
  runtime.use_bytes(std::min(weight(a), weight(b)));
  if (a.text() && b.text()) return compare_values(*a.text(), *b.text());  // UTF-8 sorts as code points do
  if (const auto order = compare_numbers(a, b)) return *order;
  if (!same_order_kind(a, b)) {
    require_defined(a);
    require_defined(b);
    fail(quoted(op) + " is not supported between " + quoted(type_name(a)) + " and " + quoted(type_name(b)));
  }
  const auto& x = a.sequence()->items;
  const auto& y = b.sequence()->items;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!equal(runtime, x[i], y[i])) return compare(runtime, op, x[i], y[i]);
  }
  return compare_values(x.size(), y.size());
}

}  // namespace

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  const Runtime::Level level(runtime);
  runtime.step();
  runtime.use_bytes(std::min(weight(a), weight(b)));
  if (a.text() && b.text()) return *a.text() == *b.text();
  if (const auto order = compare_numbers(a, b)) return *order == Order::equal;
  if (a.sequence() && b.sequence()) return equal_sequences(runtime, *a.sequence(), *b.sequence());
  if (a.dict() && b.dict()) return a.dict() == b.dict() || equal_dicts(runtime, *a.dict(), *b.dict());
  if (a.storage().index() != b.storage().index()) return false;
  if (a.is_none() || a.is_undefined()) return true;
  if (const auto* loop = a.get<LoopPtr>()) return *loop == *b.get<LoopPtr>();
  if (const auto* space = a.get<Namespace*>()) return *space == *b.get<Namespace*>();
  if (const auto* macro = a.get<const Macro*>()) return *macro == *b.get<const Macro*>();
  return (*a.get<CallablePtr>())->function == (*b.get<CallablePtr>())->function;
}

bool less(Runtime& runtime, const Value& a, const Value& b) {
  return compare(runtime, "<", a, b) == Order::less;
}

bool less_equal(Runtime& runtime, const Value& a, const Value& b) {
  const Order order = compare(runtime, "<=", a, b);
  return order == Order::less || order == Order::equal;
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const std::string* text = container.text()) {
    if (!item.text()) {
      fail("'in <text>' needs a text on its left, not " + quoted(type_name(item)));
    }
    runtime.use_bytes(text->size());
    charge_search(runtime, *text, *item.text());
    return text->find(*item.text()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return dict->find(item) != nullptr;
  const SequencePtr items = iterate(runtime, container);
  return std::any_of(items->items.begin(), items->items.end(),
                     [&](const Value& candidate) { return equal(runtime, candidate, item); });
}

bool is_iterable(const Value& value) {
  return value.sequence() || value.dict() || value.text() || value.is_undefined();
}

SequencePtr iterate(Runtime& runtime, const Value& value) {
  std::vector<Value> items;
  if (const SequencePtr* sequence = value.get<SequencePtr>()) {
    if ((*sequence)->kind != SequenceKind::generator) return *sequence;
    const Sequence& generator = **sequence;
    items.assign(generator.items.begin() + static_cast<std::ptrdiff_t>(generator.next), generator.items.end());
    generator.next = generator.items.size();
  } else if (const Dict* dict = value.dict()) {
    for (const auto& entry : dict->entries()) items.push_back(entry.first);
  } else if (const std::string* text = value.text()) {
    runtime.step(static_cast<std::int64_t>(text->size()));
    runtime.use_bytes(text->size() * 2 * sizeof(Value));  // each character becomes a text of its own
    for (const std::string_view character : characters(*text)) items.emplace_back(character);
  } else if (!value.is_undefined()) {
    fail(quoted(type_name(value)) + " object is not iterable");
  }
  const Value list = make_sequence(runtime, SequenceKind::list, std::move(items));
  return *list.get<SequencePtr>();
}

std::optional<std::int64_t> length_of(const Value& value) {
  if (const std::string* text = value.text()) return static_cast<std::int64_t>(length(*text));
  if (const Dict* dict = value.dict()) return static_cast<std::int64_t>(dict->size());
  if (value.is_undefined()) return 0;
  if (const auto* loop = value.get<LoopPtr>()) return static_cast<std::int64_t>((*loop)->items->items.size());
  const Sequence* sequence = value.sequence();
  if (!sequence || sequence->kind == SequenceKind::generator) return std::nullopt;
  return static_cast<std::int64_t>(sequence->items.size());
}

}  // namespace octet::text::jinja
