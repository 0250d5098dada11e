// A request and its response, free of the HTTP library.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace octet::server {

// What the log says of one request; filled in on its way.
struct RequestRecord {
  std::string id;
  std::string remote_address;
  std::string method;
  std::string path;
  int status = 0;
  std::string model;
  bool stream = false;
  int prompt_tokens = 0;
  int cached_tokens = 0;
  int completion_tokens = 0;
  std::vector<std::string> finish_reasons;
  double first_token_seconds = 0;  // 0 = none came
  double seconds = 0;
  bool client_gone = false;  // before the end of the answer
  std::string error_param;
  std::string error_code;
  std::string internal_error;  // of what is not the client's fault
  std::string prompt;          // with --log-prompts only
};

struct HttpRequest {
  std::string method;
  std::string path;
  std::string body;
  std::string authorization;  // header values; empty = not there
  std::string origin;
  std::string content_type;
  std::string access_control_request_headers;
  std::function<bool()> client_gone;  // asks the socket
  RequestRecord* record = nullptr;
};

// Sends a piece of a streamed body; false: nobody takes it.
using WriteBody = std::function<bool(const std::string&)>;

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::function<void(const WriteBody&)> stream;  // instead of `body`: writes it piece by piece
};

}  // namespace octet::server
