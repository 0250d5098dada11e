// The global functions of chat templates: range, dict, namespace, raise_exception and strftime_now.
#pragma once

#include <optional>
#include <string_view>

#include "text/jinja_value.h"

namespace octet::text::jinja {

// The function as a value, or nothing where there is none of that name.
std::optional<Value> find_function(std::string_view name);

}  // namespace octet::text::jinja
