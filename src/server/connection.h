// One client's TCP connection, with or without TLS, that nobody can hold for longer than is allowed.
//
// Owned by the one thread that serves it; shut_down() may come from any. Reading stops at a deadline and at a
// number of bytes, so that neither slow nor endless requests cost more than was meant.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

struct ssl_ctx_st;
struct ssl_st;

namespace octet::server {

class Connection {
 public:
  using Clock = std::chrono::steady_clock;

  // Takes the socket over. `tls` may be null; else it must outlive this.
  Connection(int socket, ssl_ctx_st* tls, std::chrono::milliseconds write_timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The TLS handshake, if there is to be one.
  bool handshake(Clock::time_point deadline);

  // Waits for the next request's first byte; false: none came, or `stop` was set.
  bool wait_readable(Clock::time_point deadline, const std::atomic<bool>& stop);
  // From here on read() gives up at the deadline, and after `max_bytes` bytes.
  void limit_reading(Clock::time_point deadline, std::size_t max_bytes);
  // One byte or more; 0: the client has closed; -1: an error or a limit.
  long read(char* data, std::size_t size);
  // All of it; -1 where the client is gone or took nothing for the write timeout.
  long write(const char* data, std::size_t size);

  bool read_timed_out() const { return read_timed_out_; }
  bool read_too_much() const { return read_too_much_; }
  std::size_t bytes_read() const { return bytes_read_; }  // since limit_reading()

  // The client has closed the connection, or at least its side of it.
  bool client_gone() const;
  // Lets the client read what was written: a close with unread input would throw it away.
  void linger();
  // Ends all waiting on this connection, now and later.
  void shut_down() noexcept;

  int socket() const { return socket_; }
  std::string remote_address() const;

 private:
  bool poll_for(short events, Clock::time_point deadline) const;
  long receive(char* data, std::size_t size);  // some bytes, 0, or -1; -2: try again after poll_for(wanted_)
  long send_some(const char* data, std::size_t size);
  long tls_result(int result);

  int socket_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> tls_;
  std::chrono::milliseconds write_timeout_;
  short wanted_ = 0;
  Clock::time_point deadline_ = {};
  std::size_t max_bytes_ = 0;
  std::size_t bytes_read_ = 0;
  bool read_timed_out_ = false;
  bool read_too_much_ = false;
  char buffer_[4096];
  std::size_t buffered_ = 0, taken_ = 0;
};

}  // namespace octet::server
