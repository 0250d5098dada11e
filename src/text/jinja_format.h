// Python's two ways to format text: 'a %s' % value and 'a {}'.format(value).
#pragma once

#include <string>
#include <string_view>

#include "text/jinja_value.h"

namespace octet::text::jinja {

// `values` is a tuple, a dict for %(name)s, or a single value.
// Throws Failure where they do not fit the format or a conversion is not supported.
std::string format_percent(Runtime& runtime, std::string_view format, const Value& values);
std::string format_braces(Runtime& runtime, std::string_view format, const Arguments& arguments);

}  // namespace octet::text::jinja
