#include "apps/progress_bar.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <utility>

namespace octet::apps {

namespace {

constexpr int kWidth = 24;
constexpr std::chrono::milliseconds kPause{100};

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::llround(seconds));
  char text[64];
  if (seconds < 9.95)
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  else if (whole < 60)
    std::snprintf(text, sizeof text, "%lld s", whole);
  else if (whole < 3600)
    std::snprintf(text, sizeof text, "%lld min %lld s", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%lld h %lld min", whole / 3600, whole % 3600 / 60);
  return text;
}

std::string progress_line(const std::string& task, const std::string& unit, std::int64_t done,
                          std::int64_t total, double tokens_per_second, double seconds_left) {
  const auto filled = static_cast<std::size_t>(total > 0 ? kWidth * done / total : 0);
  char rate[64];
  std::snprintf(rate, sizeof rate, ", %.0f tokens/s", tokens_per_second);
  std::string line = task + " [" + std::string(filled, '#') + std::string(kWidth - filled, ' ') + "] " +
                     std::to_string(done) + "/" + std::to_string(total) + " " + unit + rate;
  if (seconds_left >= 0) line += ", " + duration_text(seconds_left) + " left";
  return line;
}

ProgressBar::ProgressBar(std::string unit, Elsewhere elsewhere)
    : unit_(std::move(unit)), elsewhere_(elsewhere), terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
}

void ProgressBar::show(const std::string& task, std::int64_t done, std::int64_t total,
                       std::optional<double> tokens_per_second) {
  const Clock::time_point now = Clock::now();
  const bool begins = task != task_;
  if (begins) {
    task_ = task;
    first_done_ = done;
    started_ = now;
    if (!terminal_ && elsewhere_ == Elsewhere::tasks)
      std::cerr << "octet: " << task << ", " << total << " " << unit_ << "\n";
  }
  if (!terminal_ || (!begins && now - last_ < kPause)) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const auto here = static_cast<double>(done - first_done_);
  const double left = here > 0 ? seconds / here * static_cast<double>(total - done) : -1;
  const double rate = tokens_per_second.value_or(seconds > 0 ? here / seconds : 0);
  std::cerr << "\r" << progress_line(task, unit_, done, total, rate, left) << "\x1b[K" << std::flush;
  drawn_ = true;
}

}  // namespace octet::apps
