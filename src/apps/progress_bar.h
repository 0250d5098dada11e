// A line on a terminal that says how far a long task is, how fast it goes and how long it will take.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace octet::apps {

// On standard error, and only where that is a terminal. Drawn again at most ten times a second.
class ProgressBar {
 public:
  ProgressBar(std::string title, std::string unit);  // "calibrating", "samples"
  ~ProgressBar();                                    // the line is cleared
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(std::int64_t done, std::int64_t total, double tokens_per_second);

 private:
  std::string title_, unit_;
  bool terminal_;
  bool drawn_ = false;
  std::int64_t first_done_ = -1;  // what was done when this program began
  std::chrono::steady_clock::time_point started_, last_;
};

// "42 s", "3 min 20 s", "2 h 5 min".
std::string duration_text(double seconds);

// "calibrating [######    ] 300/512 samples, 671 tokens/s, 3 min 20 s left"; without the time where
// seconds_left is negative.
std::string progress_line(const std::string& title, const std::string& unit, std::int64_t done,
                          std::int64_t total, double tokens_per_second, double seconds_left);

}  // namespace octet::apps
