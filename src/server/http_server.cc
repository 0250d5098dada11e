#include "server/http_server.h"

#include <httplib.h>
#include <octet/error.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "server/api_error.h"
#include "server/connection.h"
#include "server/listener.h"
#include "server/tls.h"

namespace octet::server {

namespace {

constexpr std::size_t kMaxHeadBytes = 64 << 10;  // request line and headers
constexpr std::size_t kMaxRefusals = 32;         // connections beyond the limit that are told so, at a time

// The library's view of a connection.
class LibraryStream final : public httplib::Stream {
 public:
  explicit LibraryStream(Connection& connection) : connection_(connection) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* data, size_t size) override { return connection_.read(data, size); }
  ssize_t write(const char* data, size_t size) override { return connection_.write(data, size); }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip = connection_.remote_address();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return connection_.socket(); }

 private:
  Connection& connection_;
};

// One request on its connection, from the first byte to the log.
struct Exchange {
  Connection& connection;
  RequestRecord record;
  Connection::Clock::time_point deadline;  // for all of the request to have arrived
  bool head_read = false;
  bool closes = false;        // HTTP/1.0: this answer is the connection's last
  bool body_pending = false;  // of the request, not read yet: what comes next is no request
};

// The library calls back without saying for which connection; each has its thread.
thread_local Exchange* current_exchange = nullptr;

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == text.npos;
}

std::string header(const httplib::Request& request, const char* name) { return request.get_header_value(name); }

HttpRequest to_request(const httplib::Request& request, Exchange& exchange) {
  return {request.method,
          request.path,
          {},
          header(request, "Authorization"),
          header(request, "Origin"),
          header(request, "Content-Type"),
          header(request, "Access-Control-Request-Headers"),
          [connection = &exchange.connection] { return connection->client_gone(); },
          &exchange.record};
}

void to_library(HttpResponse response, const httplib::Request& request, httplib::Response& out) {
  out.status = response.status;
  for (const auto& [name, value] : response.headers) out.set_header(name, value);
  if (!response.stream) {
    out.set_content(response.body, response.content_type);
    return;
  }
  const auto provide = [stream = std::move(response.stream)](std::size_t, httplib::DataSink& sink) {
    stream([&sink](const std::string& piece) { return sink.write(piece.data(), piece.size()); });
    sink.done();
    return true;
  };
  if (request.version == "HTTP/1.0")  // knows no chunks: the end of the connection is the end of the body
    out.set_content_provider(response.content_type, provide);
  else
    out.set_chunked_content_provider(response.content_type, provide);
}

HttpResponse refusal(const ApiError& error) {
  HttpResponse response;
  response.status = error.status;
  response.body = error_json(error);
  if (error.retry_after > 0) response.headers.emplace_back("Retry-After", std::to_string(error.retry_after));
  return response;
}

// Where the library says nothing.
bool say(Connection& connection, const ApiError& error, const std::string& reason) {
  const std::string body = error_json(error);
  const std::string text =
      "HTTP/1.1 " + std::to_string(error.status) + " " + reason +
      "\r\nContent-Type: application/json\r\nConnection: close\r\n" +
      (error.retry_after > 0 ? "Retry-After: " + std::to_string(error.retry_after) + "\r\n" : "") +
      "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  return connection.write(text.data(), text.size()) >= 0;
}

void say(Exchange& exchange, const ApiError& error, const std::string& reason) {
  exchange.record.status = error.status;
  say(exchange.connection, error, reason);
}

ApiError error_of_status(int status) {
  switch (status) {
    case 400:
      return {400, "the request is not HTTP/1.1 as this server reads it"};
    case 414:
      return {414, "the request's path is too long"};
    case 431:
      return {431, "the request's headers are too large"};
    case 408:
      return {408, "the request did not arrive in time", {}, "request_timeout"};
    default:
      return {status, "the request cannot be answered (" + std::to_string(status) + ")"};
  }
}

}  // namespace

// process_request(), which parses a request, calls the handlers and writes the response, is for derived
// classes.
struct HttpServer::Impl : httplib::Server {
  Impl(HttpServerOptions server_options, HttpHandlers server_handlers)
      : options(std::move(server_options)),
        handlers(std::move(server_handlers)),
        tls(make_tls_context(options.ssl_certfile, options.ssl_keyfile)),
        listener(options.host, options.port) {
    svr_sock_ = listener.socket();      // the library ends streams where it has none
    keep_alive_max_count_ = 1'000'000;  // what responses say; there is no limit
    keep_alive_timeout_sec_ =
        std::chrono::duration_cast<std::chrono::seconds>(options.keep_alive_timeout).count();
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return before_body(request, response);
    });
    Post(".*", [this](const httplib::Request& request, httplib::Response& response,
                      const httplib::ContentReader& reader) { with_body(request, response, reader); });
    set_error_handler(httplib::Server::Handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty() || response.content_provider_) return;  // ours
      const Exchange& exchange = *current_exchange;
      if (!exchange.head_read && exchange.connection.read_too_much()) response.status = 431;
      if (!exchange.head_read && exchange.connection.read_timed_out()) response.status = 408;
      current_exchange->record.status = response.status;
      response.set_content(error_json(error_of_status(response.status)), "application/json");
    }));
    set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
      if (!current_exchange->body_pending && !current_exchange->closes) return;
      response.headers.erase("Keep-Alive");  // which the library promises to whom did not say close
      response.headers.erase("Connection");
      response.set_header("Connection", "close");
    });
    set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
      response.status = 500;
      response.set_content(error_json({500, "internal error"}), "application/json");
    });
  }

  HandlerResponse before_body(const httplib::Request& request, httplib::Response& response);
  void with_body(const httplib::Request& request, httplib::Response& response,
                 const httplib::ContentReader& reader);
  // Why the body is not to be read; nothing where it is.
  std::optional<ApiError> check_body_headers(const httplib::Request& request) const;
  void serve(Connection& connection);
  bool serve_one(Connection& connection, LibraryStream& stream);
  void start(int socket);
  void run(std::shared_ptr<Connection> connection, bool refused);  // a connection's thread
  void end(std::shared_ptr<Connection> connection);
  void refuse(Connection& connection);

  HttpServerOptions options;
  HttpHandlers handlers;
  TlsContext tls;
  Listener listener;
  std::atomic<bool> stopping = false;

  std::mutex mutex;
  std::condition_variable ended;
  std::set<Connection*> connections;
  std::size_t threads = 0;
};

std::optional<ApiError> HttpServer::Impl::check_body_headers(const httplib::Request& request) const {
  const std::size_t lengths = request.get_header_value_count("Content-Length");
  const std::size_t encodings = request.get_header_value_count("Transfer-Encoding");
  // Readings of these differ between programs, which is how requests are smuggled past proxies.
  if (lengths + encodings > 1)
    return ApiError(400, "expected one of Content-Length and Transfer-Encoding, once");
  if (encodings == 1 && strcasecmp(header(request, "Transfer-Encoding").c_str(), "chunked") != 0)
    return ApiError(501, "expected the Transfer-Encoding chunked");
  if (lengths == 1) {
    const std::string length = header(request, "Content-Length");
    if (!is_number(length)) return ApiError(400, "expected a number as Content-Length");
    if (std::stoull(length) > options.max_request_bytes)
      return ApiError(413,
                      "the body has " + length + " bytes, and " + std::to_string(options.max_request_bytes) +
                          " are allowed (--max-request-bytes)",
                      {}, "request_too_large");
  }
  return std::nullopt;
}

httplib::Server::HandlerResponse HttpServer::Impl::before_body(const httplib::Request& request,
                                                               httplib::Response& response) {
  Exchange& exchange = *current_exchange;
  const HttpRequest asked = to_request(request, exchange);
  HttpResponse answer;
  bool goes_on = handlers.admit(asked, answer);
  if (goes_on && exchange.body_pending) {
    if (const auto refused = check_body_headers(request)) {
      exchange.record.error_code = refused->code;
      answer = refusal(*refused);
      goes_on = false;
    }
  }
  if (goes_on && exchange.body_pending && request.method == "POST") return HandlerResponse::Unhandled;
  if (goes_on) handlers.handle(asked, answer);
  exchange.record.status = answer.status;
  to_library(std::move(answer), request, response);
  return HandlerResponse::Handled;
}

void HttpServer::Impl::with_body(const httplib::Request& request, httplib::Response& response,
                                 const httplib::ContentReader& reader) {
  Exchange& exchange = *current_exchange;
  HttpRequest asked = to_request(request, exchange);
  HttpResponse answer;
  // Chunks of one byte each are six times as long as what they carry.
  exchange.connection.limit_reading(exchange.deadline, 8 * options.max_request_bytes + kMaxHeadBytes);
  bool too_large = false;
  const bool whole = reader([&](const char* data, std::size_t size) {
    too_large = asked.body.size() + size > options.max_request_bytes;
    if (!too_large) asked.body.append(data, size);
    return !too_large;
  });
  if (whole) {
    exchange.body_pending = false;
    handlers.handle(asked, answer);
  } else if (too_large || exchange.connection.read_too_much()) {
    answer = refusal(
        {413,
         "the body has more than " + std::to_string(options.max_request_bytes) + " bytes (--max-request-bytes)",
         {},
         "request_too_large"});
  } else if (exchange.connection.read_timed_out()) {
    answer = refusal({408, "the body did not arrive in time", {}, "request_timeout"});
  } else {
    answer = refusal({400, "the body ended early, or is not encoded as its headers say"});
  }
  exchange.record.status = answer.status;
  to_library(std::move(answer), request, response);
}

// One request; false where the connection is to be closed.
bool HttpServer::Impl::serve_one(Connection& connection, LibraryStream& stream) {
  const auto started = Connection::Clock::now();
  Exchange exchange{connection, {}, started + options.read_timeout};
  exchange.record.remote_address = connection.remote_address();
  current_exchange = &exchange;
  connection.limit_reading(exchange.deadline, kMaxHeadBytes);
  bool client_closes = false;
  bool closes = stopping.load();
  const bool written = process_request(stream, closes, client_closes, [&](httplib::Request& request) {
    exchange.head_read = true;
    exchange.record.method = request.method;
    exchange.record.path = request.path;
    exchange.body_pending = request.has_header("Transfer-Encoding") ||
                            (request.has_header("Content-Length") && header(request, "Content-Length") != "0");
    request.ranges.clear();                    // no answer has parts
    request.headers.erase("Accept-Encoding");  // nor is compressed: the time is better spent on tokens
    exchange.closes = request.version == "HTTP/1.0";
  });
  current_exchange = nullptr;
  if (!exchange.head_read && !written) {             // not even the request line
    if (connection.bytes_read() == 0) return false;  // closed between two requests
    if (connection.read_timed_out()) say(exchange, error_of_status(408), "Request Timeout");
    if (connection.read_too_much()) say(exchange, error_of_status(431), "Request Header Fields Too Large");
  }
  exchange.record.seconds = std::chrono::duration<double>(Connection::Clock::now() - started).count();
  if (!written) exchange.record.client_gone = exchange.head_read;
  handlers.log(exchange.record);
  return written && exchange.head_read && !client_closes && !closes && !exchange.closes &&
         !exchange.body_pending;
}

void HttpServer::Impl::serve(Connection& connection) {
  LibraryStream stream(connection);
  if (!connection.handshake(Connection::Clock::now() + options.read_timeout)) return;
  auto patience = options.read_timeout;
  while (connection.wait_readable(Connection::Clock::now() + patience, stopping) &&
         serve_one(connection, stream))
    patience = options.keep_alive_timeout;
  connection.linger();
}

void HttpServer::Impl::refuse(Connection& connection) {
  if (!connection.handshake(Connection::Clock::now() + std::chrono::seconds(2))) return;
  ApiError error(503, "all " + std::to_string(options.max_connections) + " connections are in use", {},
                 "too_many_connections");
  error.retry_after = 1;
  if (say(connection, error, "Service Unavailable")) connection.linger();
}

void HttpServer::Impl::end(std::shared_ptr<Connection> connection) {
  {
    const std::lock_guard lock(mutex);
    connections.erase(connection.get());
  }
  connection.reset();  // closes it
  const std::lock_guard lock(mutex);
  --threads;
  ended.notify_all();  // the last that touches this server
}

void HttpServer::Impl::run(std::shared_ptr<Connection> connection, bool refused) {
  try {
    refused ? refuse(*connection) : serve(*connection);
  } catch (const std::exception&) {  // out of memory: this connection ends, the others do not
  }
  end(std::move(connection));
}

void HttpServer::Impl::start(int socket) {
  try {
    auto connection = std::make_shared<Connection>(socket, tls.get(), options.write_timeout);
    const std::lock_guard lock(mutex);
    if (threads >= options.max_connections + kMaxRefusals) return;
    const bool refused = threads >= options.max_connections;
    connections.insert(connection.get());
    try {
      std::thread(&Impl::run, this, connection, refused).detach();
    } catch (...) {
      connections.erase(connection.get());
      throw;
    }
    ++threads;
  } catch (const std::exception&) {  // no memory or no more threads: the connection is closed
  }
}

HttpServer::HttpServer(HttpServerOptions options, HttpHandlers handlers)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handlers))) {}

HttpServer::~HttpServer() { close_connections(); }

int HttpServer::port() const { return impl_->listener.port(); }

void HttpServer::run(const std::atomic<bool>& stop, const std::function<void()>& listening) {
  impl_->listener.listen();
  if (listening) listening();
  while (!stop.load()) {
    const int socket = impl_->listener.accept(50);
    if (socket >= 0) impl_->start(socket);
  }
  impl_->listener.close();
  impl_->stopping.store(true);
}

bool HttpServer::wait_until_closed(std::chrono::milliseconds timeout) {
  std::unique_lock lock(impl_->mutex);
  return impl_->ended.wait_for(lock, timeout, [this] { return impl_->threads == 0; });
}

void HttpServer::close_connections() {
  impl_->stopping.store(true);
  std::unique_lock lock(impl_->mutex);
  for (Connection* connection : impl_->connections) connection->shut_down();
  impl_->ended.wait(lock, [this] { return impl_->threads == 0; });
}

}  // namespace octet::server
