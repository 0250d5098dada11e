// The server: an AsyncLLM behind HTTP, from the first connection to an orderly end.
#pragma once

#include <octet/async_llm.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

#include "server/api_options.h"
#include "server/http_server.h"
#include "server/log_level.h"

namespace octet::server {

struct ServerOptions {
  HttpServerOptions http;
  ApiOptions api;
  LogLevel log_level = LogLevel::info;
  bool log_json = false;
  // For requests that run when the end is asked for; those that are left then end with "abort".
  std::chrono::milliseconds shutdown_timeout = std::chrono::seconds(30);
};

// Serves until `stop` is set: then takes no more, finishes what runs or ends it, and returns. Binds before
// `make_llm` is called, so that a port in use is said before a model is loaded. Ignores SIGPIPE from then on.
// Throws Error as HttpServer and `make_llm` do.
void serve(const ServerOptions& options, const std::function<std::unique_ptr<AsyncLLM>()>& make_llm,
           const std::atomic<bool>& stop);

}  // namespace octet::server
