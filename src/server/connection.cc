#include "server/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace octet::server {

namespace {

constexpr long kTryAgain = -2;

}  // namespace

Connection::Connection(int socket, ssl_ctx_st* tls, std::chrono::milliseconds write_timeout)
    : socket_(socket), tls_(tls ? SSL_new(tls) : nullptr, SSL_free), write_timeout_(write_timeout) {
  fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) | O_NONBLOCK);
  const int on = 1;  // events must not wait for each other
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (tls && !tls_) {  // must not go on in the clear
    close(socket_);
    throw std::bad_alloc();
  }
  if (!tls_) return;
  SSL_set_fd(tls_.get(), socket_);
  SSL_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

Connection::~Connection() { close(socket_); }

bool Connection::poll_for(short events, Clock::time_point deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd polled = {socket_, events, 0};
    const int ready = poll(&polled, 1, static_cast<int>(std::clamp<long>(left, 0, 60'000)));
    if (ready > 0) return true;
    if (ready == 0 && left <= 0) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// OpenSSL's answer as receive() and send_some() give it.
long Connection::tls_result(int result) {
  if (result > 0) return result;
  const int error = SSL_get_error(tls_.get(), result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    wanted_ = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    return kTryAgain;
  }
  return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

bool Connection::handshake(Clock::time_point deadline) {
  if (!tls_) return true;
  while (true) {
    ERR_clear_error();
    const long result = tls_result(SSL_accept(tls_.get()));
    if (result > 0) return true;
    if (result != kTryAgain || !poll_for(wanted_, deadline)) return false;
  }
}

bool Connection::wait_readable(Clock::time_point deadline, const std::atomic<bool>& stop) {
  constexpr auto kTick = std::chrono::milliseconds(100);  // how soon `stop` is seen
  if (taken_ < buffered_ || (tls_ && SSL_pending(tls_.get()) > 0)) return true;
  while (!stop.load()) {
    const auto now = Clock::now();
    if (now >= deadline) return false;
    if (poll_for(POLLIN, std::min(deadline, now + kTick))) return true;
  }
  return false;
}

void Connection::limit_reading(Clock::time_point deadline, std::size_t max_bytes) {
  deadline_ = deadline;
  max_bytes_ = max_bytes;
  bytes_read_ = 0;
  read_timed_out_ = read_too_much_ = false;
}

long Connection::receive(char* data, std::size_t size) {
  if (tls_) {
    ERR_clear_error();
    return tls_result(SSL_read(tls_.get(), data, static_cast<int>(size)));
  }
  const ssize_t got = recv(socket_, data, size, 0);
  if (got >= 0) return got;
  wanted_ = POLLIN;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? kTryAgain : -1;
}

long Connection::read(char* data, std::size_t size) {
  if (size == 0) return 0;
  if (bytes_read_ >= max_bytes_) {
    read_too_much_ = true;
    return -1;
  }
  while (taken_ == buffered_) {
    if (Clock::now() >= deadline_) {  // also where a byte comes now and then
      read_timed_out_ = true;
      return -1;
    }
    const long got = receive(buffer_, sizeof buffer_);
    if (got == 0 || got == -1) return got;
    if (got == kTryAgain) {
      if (!poll_for(wanted_, deadline_)) {
        read_timed_out_ = true;
        return -1;
      }
      continue;
    }
    taken_ = 0;
    buffered_ = static_cast<std::size_t>(got);
  }
  const std::size_t count = std::min({size, buffered_ - taken_, max_bytes_ - bytes_read_});
  std::memcpy(data, buffer_ + taken_, count);
  taken_ += count;
  bytes_read_ += count;
  return static_cast<long>(count);
}

long Connection::send_some(const char* data, std::size_t size) {
  if (tls_) {
    ERR_clear_error();
    return tls_result(SSL_write(tls_.get(), data, static_cast<int>(std::min<std::size_t>(size, 1 << 20))));
  }
  const ssize_t sent = send(socket_, data, size, MSG_NOSIGNAL);
  if (sent >= 0) return sent;
  wanted_ = POLLOUT;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? kTryAgain : -1;
}

long Connection::write(const char* data, std::size_t size) {
  std::size_t written = 0;
  while (written < size) {
    const long sent = send_some(data + written, size - written);
    if (sent > 0)
      written += static_cast<std::size_t>(sent);
    else if (sent != kTryAgain || !poll_for(wanted_, Clock::now() + write_timeout_))
      return -1;
  }
  return static_cast<long>(size);
}

bool Connection::client_gone() const {
  pollfd polled = {socket_, POLLRDHUP, 0};
  return poll(&polled, 1, 0) > 0;
}

void Connection::linger() {
  if (tls_) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
    ERR_clear_error();
  }
  ::shutdown(socket_, SHUT_WR);
  const auto deadline = Clock::now() + std::chrono::seconds(1);
  char unread[4096];
  while (poll_for(POLLIN, deadline) && Clock::now() < deadline)
    if (recv(socket_, unread, sizeof unread, 0) <= 0) return;
}

void Connection::shut_down() noexcept { ::shutdown(socket_, SHUT_RDWR); }

std::string Connection::remote_address() const {
  sockaddr_storage address = {};
  socklen_t length = sizeof address;
  if (getpeername(socket_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  char text[INET6_ADDRSTRLEN] = {};
  const void* ip = address.ss_family == AF_INET
                       ? static_cast<const void*>(&reinterpret_cast<sockaddr_in&>(address).sin_addr)
                       : static_cast<const void*>(&reinterpret_cast<sockaddr_in6&>(address).sin6_addr);
  inet_ntop(address.ss_family, ip, text, sizeof text);
  return text;
}

}  // namespace octet::server
