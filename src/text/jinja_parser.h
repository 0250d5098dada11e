// The parser of chat templates: Jinja 3.1's grammar, less what chat templates do not use (template
// inheritance, imports, recursive loops, autoescape), which is refused as unsupported.
#pragma once

#include <string_view>

#include "text/jinja_ast.h"

namespace octet::text::jinja {

// Throws Failure{invalid_file or unsupported} with a position. `source` is valid UTF-8.
ast::Body parse_template(std::string_view source);

}  // namespace octet::text::jinja
