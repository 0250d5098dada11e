// A line on a terminal that says how far a long task is, how fast it goes and how long it will take.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace octet::apps {

// On standard error: where that is a terminal, one line that is drawn over at most ten times a second and is
// gone at the end; elsewhere nothing, or a line as each task begins, so that logs stay short.
class ProgressBar {
 public:
  enum class Elsewhere { nothing, tasks };

  ProgressBar(std::string unit, Elsewhere elsewhere);  // "samples"
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `task` is what is being done, "calibrating"; times count from when it is first named. Without the rate, the
  // unit is tokens and the rate of the task so far is shown.
  void show(const std::string& task, std::int64_t done, std::int64_t total,
            std::optional<double> tokens_per_second = {});

 private:
  using Clock = std::chrono::steady_clock;

  std::string unit_;
  Elsewhere elsewhere_;
  bool terminal_;
  bool drawn_ = false;
  std::string task_;
  std::int64_t first_done_ = 0;  // what was done when the task began here
  Clock::time_point started_, last_;
};

// "42 s", "3 min 20 s", "2 h 5 min".
std::string duration_text(double seconds);

// "calibrating [######    ] 300/512 samples, 671 tokens/s, 3 min 20 s left"; without the time where
// seconds_left is negative.
std::string progress_line(const std::string& task, const std::string& unit, std::int64_t done,
                          std::int64_t total, double tokens_per_second, double seconds_left);

}  // namespace octet::apps
