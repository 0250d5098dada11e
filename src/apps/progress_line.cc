#include "apps/progress_line.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

namespace octet::apps {

namespace {

// Back to the start of the line, and clear it.
constexpr const char* kClear = "\r\x1b[K";

}  // namespace

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
  if (terminal_ && !task_.empty()) std::cerr << kClear << std::flush;
}

void ProgressLine::show(const std::string& task, std::int64_t done, std::int64_t total) {
  const Clock::time_point now = Clock::now();
  if (task != task_) {
    task_ = task;
    started_ = now;
    shown_ = {};
    if (!terminal_) std::cerr << "octet: " << task << ", " << total << " tokens\n";
  }
  if (!terminal_ || now - shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  char line[160];
  std::snprintf(line, sizeof line, "%s: %lld of %lld tokens", task.c_str(), static_cast<long long>(done),
                static_cast<long long>(total));
  std::cerr << kClear << line;
  if (seconds > 0.5 && done > 0) {
    const double rate = static_cast<double>(done) / seconds;
    std::snprintf(line, sizeof line, ", %.0f a second, %.0f s left", rate,
                  static_cast<double>(total - done) / rate);
    std::cerr << line;
  }
  std::cerr << std::flush;
}

}  // namespace octet::apps
