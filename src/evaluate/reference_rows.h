// ReferenceRows: the baseline's next-token distributions over some positions, and how far others are from them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"

namespace octet::evaluate {

// One position of one configuration.
struct RowScore {
  double kl;      // D(baseline || this), nats
  double nll;     // of the target, nats; NaN where there is none
  bool same_top;  // the likeliest token is the baseline's
};

class ReferenceRows {
 public:
  // Copies `logits` [rows, vocab]. Throws Error{internal} naming `name` where any are not finite.
  void set(std::span<const float> logits, int vocab, ThreadPool& pool, const std::string& name);

  // Scores `logits` of the same shape, row by row; targets [rows] are token ids or kNoTarget. All sums are
  // in double. Throws as set.
  void compare(std::span<const float> logits, std::span<const std::int32_t> targets, ThreadPool& pool,
               const std::string& name, std::vector<RowScore>& scores) const;

 private:
  int vocab_ = 0;
  std::vector<float> logits_;         // [rows, vocab]
  std::vector<float> probabilities_;  // [rows, vocab]
  std::vector<double> log_sums_;      // [rows] logarithm of the sum of exp(logits)
  std::vector<std::int32_t> tops_;    // [rows]
};

}  // namespace octet::evaluate
