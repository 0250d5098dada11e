#include "server/api_error.h"

#include <nlohmann/json.hpp>

namespace octet::server {

namespace {

const char* error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

nlohmann::ordered_json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
}

}  // namespace

ApiError api_error(const Error& error) {
  switch (error.code()) {
    case ErrorCode::invalid_argument:
      return {400, error.what(), error.context()};
    case ErrorCode::not_found:  // of what a request can lead to: the chat template
    case ErrorCode::unsupported:
      return {400, error.what()};
    case ErrorCode::overloaded: {
      ApiError refusal(429, error.what(), {}, "queue_full");
      refusal.retry_after = 1;
      return refusal;
    }
    case ErrorCode::unavailable: {
      ApiError refusal(503, error.what(), {}, "shutting_down");
      refusal.retry_after = 5;
      return refusal;
    }
    default:
      return {500, error.what()};
  }
}

std::string error_json(const ApiError& error) {
  nlohmann::ordered_json body;
  body["error"] = {{"message", error.what()},
                   {"type", error_type(error.status)},
                   {"param", text_or_null(error.param)},
                   {"code", text_or_null(error.code)}};
  // A message may quote what is no UTF-8.
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace octet::server
