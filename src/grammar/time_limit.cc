#include "grammar/time_limit.h"

#include <ctime>

namespace octet::grammar {

namespace {

constexpr int kCallsBetweenLooks = 128;  // asking the system costs some 200 ns

thread_local double time_up = 0;  // of the thread's clock; 0 = no limit
thread_local int calls_left = 0;

double thread_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

TimeLimit::TimeLimit(double seconds) {
  time_up = thread_seconds() + seconds;
  calls_left = kCallsBetweenLooks;
}

TimeLimit::~TimeLimit() { time_up = 0; }

void checkpoint() {
  if (time_up == 0 || --calls_left > 0) return;
  calls_left = kCallsBetweenLooks;
  if (thread_seconds() > time_up) throw TimeIsUp();
}

}  // namespace octet::grammar
