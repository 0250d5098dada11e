// What a request is refused for.
#pragma once

#include <string>

#include "server/api_error.h"

namespace octet::server {

// The field that `parse` refuses with status 400 and a message that names it, or what happened instead.
template <typename Parse>
std::string refused_field(Parse parse) {
  try {
    parse();
    return "(accepted)";
  } catch (const ApiError& error) {
    if (error.status != 400) return "(status " + std::to_string(error.status) + ")";
    if (!error.param.empty() && std::string(error.what()).find(error.param) == std::string::npos)
      return "(not in the message: " + std::string(error.what()) + ")";
    return error.param;
  }
}

}  // namespace octet::server
