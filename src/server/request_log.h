// The server's log on standard error: a line an event, as text or as a JSON object. Thread-safe.
//
// Prompts, answers and what clients sent are in no line, but the prompt with --log-prompts.
#pragma once

#include <mutex>
#include <string>

#include "server/http_message.h"
#include "server/json_fields.h"
#include "server/log_level.h"

namespace octet::server {

class RequestLog {
 public:
  RequestLog(LogLevel least, bool as_json) : least_(least), as_json_(as_json) {}

  // An event with its figures, in their order.
  void write(LogLevel level, const std::string& event, const Json& fields = Json::object());
  // One request, at its end. Probes of /health and /metrics are debug, faults of the server are errors.
  void write(const RequestRecord& record);

 private:
  LogLevel least_;
  bool as_json_;
  std::mutex mutex_;
};

}  // namespace octet::server
