// Rendering in one call, for the tests of the chat template engine.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "text/chat_template.h"

namespace octet::text {

inline std::string rendered(std::string_view source, std::string_view variables = "{}") {
  return ChatTemplate::parse(source, "t").render(variables);
}

// What the error says, "CONTEXT: MESSAGE", or "no error: TEXT".
inline std::string error_of(std::string_view source, std::string_view variables = "{}") {
  try {
    return "no error: " + rendered(source, variables);
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace octet::text
