// What a request is refused with: an HTTP status and OpenAI's error object.
#pragma once

#include <octet/error.h>

#include <stdexcept>
#include <string>

namespace octet::server {

struct ApiError : std::runtime_error {
  ApiError(int http_status, const std::string& message, std::string field = {}, std::string error_code = {})
      : std::runtime_error(message),
        status(http_status),
        param(std::move(field)),
        code(std::move(error_code)) {}

  int status;
  std::string param;    // the field that is wrong, as messages[0].content; empty = none
  std::string code;     // for programs, as model_not_found; empty = none
  int retry_after = 0;  // seconds; 0 = nothing is said
};

// The engine's error as a client may see it.
ApiError api_error(const Error& error);

// {"error": {"message", "type", "param", "code"}}
std::string error_json(const ApiError& error);

}  // namespace octet::server
