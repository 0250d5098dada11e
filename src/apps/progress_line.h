// ProgressLine: how far a long measurement is, on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace octet::apps {

// On a terminal one line that is written over, with the rate and the time left; elsewhere a line as each task
// begins, so that logs stay short. Nothing is left of the line at the end.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const std::string& task, std::int64_t done, std::int64_t total);

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  std::string task_;
  Clock::time_point started_, shown_;
};

}  // namespace octet::apps
