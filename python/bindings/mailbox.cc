#include "mailbox.h"

#include <octet/error.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace octet::python {

Mailbox::Mailbox() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0)
    throw Error(ErrorCode::io, std::string("no event descriptor: ") + std::strerror(errno), "eventfd");
  state_ = std::make_shared<State>(fd);
}

Mailbox::State::~State() { ::close(fd); }

std::vector<std::int64_t> Mailbox::take() {
  const std::scoped_lock lock(state_->mutex);
  std::uint64_t count = 0;
  // Nothing to read is nothing to clear.
  [[maybe_unused]] const auto got = ::read(state_->fd, &count, sizeof count);
  std::vector<std::int64_t> keys(state_->ready.begin(), state_->ready.end());
  state_->ready.clear();
  return keys;
}

bool Mailbox::wait(double seconds) const {
  pollfd event{.fd = state_->fd, .events = POLLIN, .revents = 0};
  return ::poll(&event, 1, static_cast<int>(seconds * 1e3)) > 0;
}

std::function<void()> Mailbox::bell(std::int64_t key) const {
  return [state = state_, key] {
    const std::scoped_lock lock(state->mutex);
    const bool first = state->ready.empty();
    state->ready.insert(key);
    const std::uint64_t one = 1;
    if (first) [[maybe_unused]]
      const auto put = ::write(state->fd, &one, sizeof one);
  };
}

}  // namespace octet::python
