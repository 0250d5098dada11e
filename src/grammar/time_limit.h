// A limit on the processor time that the calling thread may spend on a grammar, for a library that knows of
// none.
#pragma once

#include <stdexcept>

namespace octet::grammar {

// Thrown by checkpoint().
struct TimeIsUp : std::runtime_error {
  TimeIsUp() : std::runtime_error("time is up") {}
};

// While one is alive, checkpoint() throws TimeIsUp on this thread once `seconds` of its processor time have
// passed. Not nested.
class TimeLimit {
 public:
  explicit TimeLimit(double seconds);
  ~TimeLimit();
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;
};

// What the library's parser calls at each state it looks at: cmake/xgrammar.cmake writes the calls into it.
void checkpoint();

}  // namespace octet::grammar
