#include "text/jinja_functions.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja_operators.h"
#include "text/jinja_print.h"

namespace octet::text::jinja {
namespace {

Value range(Runtime& runtime, const Value&, const Arguments& arguments) {
  const auto bound = bind("range", arguments, {"", "", ""}, 1);
  std::int64_t numbers[3] = {0, 0, 1};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!bound[i]) continue;
    const auto number = as_integer(*bound[i]);
    if (!number) {
      require_defined(*bound[i]);
      fail("range() wants integers, not " + quoted(type_name(*bound[i])));
    }
    numbers[i] = *number;
  }
  if (!bound[1]) std::swap(numbers[0], numbers[1]);  // range(stop)
  const auto [start, stop, step] = numbers;
  if (step == 0) fail("range() wants a step other than zero");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<std::int64_t>(items.size()) == kMaxRange) {
      fail("a range has more than " + std::to_string(kMaxRange) + " items");
    }
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  runtime.step(static_cast<std::int64_t>(items.size() / 16));
  return make_sequence(runtime, SequenceKind::range, std::move(items), {start, stop, step});
}

// dict(), dict(mapping), dict(pairs), each with further members as keywords; namespace() takes the same.
Dict make_members(Runtime& runtime, const char* function, const Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) fail(std::string(function) + "() takes at most one positional argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.dict()) {
      dict = *source.dict();
    } else {
      const SequencePtr pairs = iterate(runtime, source);
      for (const Value& item : pairs->items) {
        const SequencePtr pair = iterate(runtime, item);
        if (pair->items.size() != 2) fail(std::string(function) + "() wants pairs of key and value");
        dict.set(pair->items[0], pair->items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.keyword) dict.set(Value(name), value);
  return dict;
}

Value dict(Runtime& runtime, const Value&, const Arguments& arguments) {
  return make_dict(runtime, make_members(runtime, "dict", arguments));
}

Value make_namespace(Runtime& runtime, const Value&, const Arguments& arguments) {
  auto space = std::make_unique<Namespace>(Namespace{make_members(runtime, "namespace", arguments)});
  runtime.use_bytes(space->attributes.size() * 4 * sizeof(Value));
  return Value(runtime.add_namespace(std::move(space)));
}

Value raise_exception(Runtime& runtime, const Value&, const Arguments& arguments) {
  const auto bound = bind("raise_exception", arguments, {"message"}, 1);
  // The template's word about the conversation that it was given, not a fault of its own.
  refuse(to_text(runtime, *bound[0]));
}

// The local time. %f (microseconds) is Python's own.
Value strftime_now(Runtime&, const Value&, const Arguments& arguments) {
  const auto bound = bind("strftime_now", arguments, {"format"}, 1);
  if (!bound[0]->text()) fail("strftime_now() wants a text");
  const auto now = std::chrono::system_clock::now();
  const auto since_epoch =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  char microseconds[8];
  std::snprintf(microseconds, sizeof microseconds, "%06d", static_cast<int>(since_epoch % 1'000'000));
  std::string format;
  const std::string& given = *bound[0]->text();
  if (given.size() > 1000) fail("strftime_now() wants a format of at most 1000 bytes");
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] == '%' && i + 1 < given.size()) {
      ++i;
      format += given[i] == 'f' ? std::string(microseconds) : std::string{'%', given[i]};
    } else {
      format += given[i];
    }
  }
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  localtime_r(&seconds, &local);
  format += ' ';  // so that an empty result is told from one that does not fit
  std::vector<char> buffer(64 * format.size());
  const std::size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  if (size == 0) fail("strftime_now() cannot use this format");
  return Value(std::string_view(buffer.data(), size - 1));
}

struct NamedFunction {
  std::string_view name;
  Callable::Function function;
};

constexpr NamedFunction kFunctions[] = {
    {"dict", dict},   {"namespace", make_namespace},  {"raise_exception", raise_exception},
    {"range", range}, {"strftime_now", strftime_now},
};

}  // namespace

std::optional<Value> find_function(std::string_view name) {
  for (const NamedFunction& entry : kFunctions) {
    if (entry.name == name)
      return Value(std::make_shared<const Callable>(Callable{entry.name, entry.function, {}}));
  }
  return std::nullopt;
}

}  // namespace octet::text::jinja
