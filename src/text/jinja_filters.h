// The filters of chat templates: {{ value | name(arguments) }}.
//
// Names and meanings are those of Jinja 3.1, but for tojson, which is transformers': json.dumps without
// HTML escaping and with ensure_ascii off.
#pragma once

#include <string_view>

#include "text/jinja_value.h"

namespace octet::text::jinja {

using FilterFunction = Value (*)(Runtime& runtime, const Value& input, const Arguments& arguments);

// nullptr where there is no such filter.
FilterFunction find_filter(std::string_view name);

// The tables that find_filter() searches, one a file.
FilterFunction find_text_filter(std::string_view name);
FilterFunction find_number_filter(std::string_view name);
FilterFunction find_sequence_filter(std::string_view name);
FilterFunction find_selecting_filter(std::string_view name);

}  // namespace octet::text::jinja
