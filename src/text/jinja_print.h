// Values as text: what {{ value }} writes (Python's str), Python's repr, and JSON as json.dumps writes it.
#pragma once

#include <optional>
#include <string>

#include "text/jinja_value.h"

namespace octet::text::jinja {

std::string to_text(Runtime& runtime, const Value& value);
std::string to_repr(Runtime& runtime, const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level; without it all is on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// Throws Failure for a value that has no JSON.
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

// Python's repr of a float: the shortest decimal that reads back as the same value.
std::string float_repr(double value);

}  // namespace octet::text::jinja
