// Mailbox: which of many requests have news, for one Python thread or event loop that waits for all of them.
//
// The engine's thread rings it and never takes the GIL, so Python code never slows the engine. The file
// descriptor is readable while there is news: an event loop watches it, a thread waits on it with a signal able
// to end the wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace octet::python {

class Mailbox {
 public:
  Mailbox();  // throws Error{io}

  int fileno() const { return state_->fd; }
  // Keys of the requests that have news since the last call.
  std::vector<std::int64_t> take();
  // True as soon as there is news; false after `seconds` without, or when a signal came.
  bool wait(double seconds) const;
  // What the engine calls; may outlive the Mailbox.
  std::function<void()> bell(std::int64_t key) const;

 private:
  struct State {
    explicit State(int event) : fd(event) {}
    ~State();
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    const int fd;
    std::mutex mutex;
    std::set<std::int64_t> ready;
  };
  std::shared_ptr<State> state_;
};

}  // namespace octet::python
