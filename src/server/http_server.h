// HTTP/1.1 over TCP or TLS: connections, limits and the shape of messages; what paths mean is the handler's.
//
// Each connection has a thread, up to a limit beyond which clients get 503: a streamed answer holds its
// connection for as long as it lasts. The library (cpp-httplib) parses requests and writes responses;
// accepting, deadlines and limits are ours, since its own server has none that slow clients could not get
// around.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "server/http_message.h"

namespace octet::server {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;
  std::string ssl_certfile = {};
  std::string ssl_keyfile = {};
  std::size_t max_request_bytes = 8 << 20;
  std::size_t max_connections = 1120;
  std::chrono::milliseconds read_timeout = std::chrono::seconds(30);       // for all of a request
  std::chrono::milliseconds write_timeout = std::chrono::seconds(30);      // without a byte taken
  std::chrono::milliseconds keep_alive_timeout = std::chrono::seconds(5);  // between two requests
};

// Both run on the connection's thread and must not throw. admit() sees a request before its body is read: false
// means that the response stands, and the connection is closed behind it.
struct HttpHandlers {
  std::function<bool(const HttpRequest&, HttpResponse&)> admit;
  std::function<void(const HttpRequest&, HttpResponse&)> handle;
  std::function<void(const RequestRecord&)> log;
};

class HttpServer {
 public:
  // Binds; clients are refused until run(). Throws Error as Listener and make_tls_context do.
  HttpServer(HttpServerOptions options, HttpHandlers handlers);
  ~HttpServer();  // as close_connections()
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const;
  // Listens and serves until `stop` is set, then refuses new connections. Answers that are under way go on.
  // Throws Error{io} where another program was quicker to listen; calls `listening` where clients can connect.
  void run(const std::atomic<bool>& stop, const std::function<void()>& listening = nullptr);
  // Waits until every connection has ended; false where `timeout` passed before. After run().
  bool wait_until_closed(std::chrono::milliseconds timeout);
  // Cuts the connections that are left and waits for their threads.
  void close_connections();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::server
