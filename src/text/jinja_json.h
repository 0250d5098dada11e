// JSON text as template values.
#pragma once

#include <string_view>

#include "text/jinja_value.h"

namespace octet::text::jinja {

// The members of a JSON object, in the text's order. Integers beyond 64 bits become floats.
// Throws Failure for invalid JSON, invalid UTF-8, nesting beyond kMaxValueDepth, or no object.
Dict parse_variables(Runtime& runtime, std::string_view json);

}  // namespace octet::text::jinja
