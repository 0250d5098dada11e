// The methods of values: 'text'.strip(), dict.items(), list.index(), loop.cycle(), as in Python.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja_value.h"

namespace octet::text::jinja {

// The method bound to its object, or nothing where the type has no such method. Methods that would change
// the object are undefined with that reason, as in transformers' sandbox.
std::optional<Value> find_method(const Value& object, std::string_view name);

// text.replace(from, to, most): at most `most` of them, -1 for all. An empty `from` is between all characters.
std::string replace(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t most);
// Charges for a search of `needle` in `text`, which may compare the whole needle at every place.
void charge_search(Runtime& runtime, std::string_view text, std::string_view needle);

}  // namespace octet::text::jinja
