#include "server/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <octet/error.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

namespace octet::server {

namespace {

// A socket bound to the address, or -1 with errno.
int bind_to(const addrinfo& address) {
  const int socket = ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol);
  if (socket < 0) return -1;
  // A restarted server must not wait for old connections to fade. Not SO_REUSEPORT: with that, two servers
  // share a port without a word.
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(socket, address.ai_addr, address.ai_addrlen) == 0) return socket;
  const int error = errno;
  close(socket);
  errno = error;
  return -1;
}

int bound_port(int socket) {
  sockaddr_storage address = {};
  socklen_t length = sizeof address;
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

[[noreturn]] void refuse(const std::string& where) {
  throw Error(ErrorCode::io, std::string("cannot listen: ") + std::strerror(errno), where);
}

}  // namespace

Listener::Listener(const std::string& host, int port) : where_(host + ":" + std::to_string(port)) {
  addrinfo wanted = {};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &wanted, &found))
    throw Error(ErrorCode::invalid_argument,
                "expected a host name or address, found '" + host + "': " + gai_strerror(error), "--host");
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, freeaddrinfo);
  for (const addrinfo* address = found; address && socket_ < 0; address = address->ai_next)
    socket_ = bind_to(*address);
  if (socket_ < 0) refuse(where_);
  port_ = bound_port(socket_);
}

Listener::~Listener() { close(); }

void Listener::listen() {
  if (::listen(socket_, SOMAXCONN) != 0) refuse(where_);
}

void Listener::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

int Listener::accept(int timeout_ms) {
  pollfd polled = {socket_, POLLIN, 0};
  if (poll(&polled, 1, timeout_ms) <= 0) return -1;
  const int client = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
  // Out of descriptors the connection stays in the queue: without a pause this would spin.
  if (client < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  return client;
}

}  // namespace octet::server
