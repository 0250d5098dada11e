// The tests of chat templates: {{ value is name(arguments) }}, as in Jinja 3.1.
#pragma once

#include <string_view>

#include "text/jinja_value.h"

namespace octet::text::jinja {

using TestFunction = bool (*)(Runtime& runtime, const Value& input, const Arguments& arguments);

// nullptr where there is no such test.
TestFunction find_test(std::string_view name);

}  // namespace octet::text::jinja
