#include "server/server.h"

#include <octet/version.h>
#include <signal.h>
#include <unistd.h>

#include <mutex>
#include <vector>

#include "server/api.h"
#include "server/request_log.h"

namespace octet::server {

namespace {

constexpr auto kLastWrites = std::chrono::seconds(5);  // for what is generated and not sent yet

// What the engine has to say; the first prompt may add to it.
class Notices {
 public:
  void say_new(RequestLog& log, const AsyncLLM& llm) {
    const std::lock_guard lock(mutex_);
    const std::vector<std::string> notices = llm.notices();
    for (; said_ < notices.size(); ++said_) log.write(LogLevel::info, "notice", {{"text", notices[said_]}});
  }

 private:
  std::mutex mutex_;
  std::size_t said_ = 0;
};

void say_start(RequestLog& log, const AsyncLLM& llm, const ServerOptions& options, int port) {
  const KvCacheStats cache = llm.kv_cache_stats();
  log.write(LogLevel::info, "listening",
            {{"host", options.http.host},
             {"port", port},
             {"tls", !options.http.ssl_certfile.empty()},
             {"version", version()},
             {"pid", getpid()},
             {"model", options.api.served_model_names.front()},
             {"max_model_len", llm.max_model_len()},
             {"kv_cache_dtype", cache.dtype},
             {"kv_cache_tokens", cache.capacity_tokens},
             {"kv_scales", cache.scale_source},
             {"isa", llm.isa()},
             {"threads", llm.threads()}});
}

void end_requests(RequestLog& log, AsyncLLM& llm, HttpServer& http, std::chrono::milliseconds timeout) {
  const AsyncLLMStats stats = llm.stats();
  log.write(
      LogLevel::info, "shutting down",
      {{"requests_running", stats.num_requests_running}, {"requests_waiting", stats.num_requests_waiting}});
  llm.stop_accepting();
  if (!llm.wait_until_idle(timeout)) {
    log.write(LogLevel::warning, "aborting what still runs",
              {{"after_seconds", std::chrono::duration<double>(timeout).count()}});
    llm.abort_all();
  }
  if (!http.wait_until_closed(kLastWrites)) log.write(LogLevel::warning, "cutting connections that do not end");
  http.close_connections();
  log.write(LogLevel::info, "stopped");
}

}  // namespace

void serve(const ServerOptions& options, const std::function<std::unique_ptr<AsyncLLM>()>& make_llm,
           const std::atomic<bool>& stop) {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to connections that clients have left
  RequestLog log(options.log_level, options.log_json);
  std::unique_ptr<AsyncLLM> llm;
  std::unique_ptr<Api> api;
  Notices notices;
  HttpServer http(
      options.http,
      {[&](const HttpRequest& request, HttpResponse& response) { return api->admit(request, response); },
       [&](const HttpRequest& request, HttpResponse& response) { api->handle(request, response); },
       [&](const RequestRecord& record) {
         notices.say_new(log, *llm);
         log.write(record);
       }});
  llm = make_llm();
  api = std::make_unique<Api>(*llm, options.api);
  notices.say_new(log, *llm);
  http.run(stop, [&] { say_start(log, *llm, options, http.port()); });
  api->start_draining();
  end_requests(log, *llm, http, options.shutdown_timeout);
}

}  // namespace octet::server
