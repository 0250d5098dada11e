// The TCP port that clients connect to.
#pragma once

#include <string>

namespace octet::server {

class Listener {
 public:
  // Binds, so that nobody else gets the port; port 0 takes a free one. Clients are refused until listen().
  // Throws Error{io} naming host and port, such as one in use; Error{invalid_argument} for a host that is none.
  Listener(const std::string& host, int port);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void listen();  // throws Error{io}
  // The next client's socket; -1 where none came within `timeout_ms` (or the system had no more to give).
  int accept(int timeout_ms);
  // From here on nobody can connect; what waits to be accepted is refused.
  void close();

  int port() const { return port_; }
  int socket() const { return socket_; }

 private:
  std::string where_;  // host:port
  int socket_ = -1;
  int port_ = 0;
};

}  // namespace octet::server
