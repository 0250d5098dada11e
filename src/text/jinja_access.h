// object.name, object[index] and object[start:stop:step], with Jinja's fallbacks: an attribute that is not
// there is looked for as an item and the other way round, and what is nowhere is undefined.
#pragma once

#include <string_view>

#include "text/jinja_value.h"

namespace octet::text::jinja {

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name);
Value get_item(Runtime& runtime, const Value& object, const Value& index);
// Bounds are none where absent.
Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step);
// Follows a path such as "function.name" or "parts.0", what filters take as `attribute`.
Value get_path(Runtime& runtime, const Value& object, const Value& path);

}  // namespace octet::text::jinja
