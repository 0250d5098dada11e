#include "evaluate/reference_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "evaluate/windows.h"

namespace octet::evaluate {

namespace {

// log(sum(exp(row))); NaN where a logit is NaN or +infinity.
double log_sum_exp(std::span<const float> row, float largest) {
  const auto top = static_cast<double>(largest);
  double sum = 0;
  for (const float logit : row) sum += std::exp(static_cast<double>(logit) - top);
  return top + std::log(sum);
}

void require_finite(const std::vector<double>& log_sums, const std::string& name) {
  const auto bad =
      std::find_if(log_sums.begin(), log_sums.end(), [](double sum) { return !std::isfinite(sum); });
  if (bad != log_sums.end())
    throw Error(ErrorCode::internal,
                "the logits of row " + std::to_string(bad - log_sums.begin()) + " are not finite", name);
}

}  // namespace

void ReferenceRows::set(std::span<const float> logits, int vocab, ThreadPool& pool, const std::string& name) {
  const auto width = static_cast<std::size_t>(vocab);
  const std::size_t rows = logits.size() / width;
  vocab_ = vocab;
  logits_.assign(logits.begin(), logits.end());
  probabilities_.resize(logits.size());
  log_sums_.assign(rows, 0);
  tops_.assign(rows, 0);
  pool.run(rows, [&](std::size_t row, int) {
    const std::span<const float> x = std::span<const float>(logits_).subspan(row * width, width);
    const auto top = std::max_element(x.begin(), x.end());
    tops_[row] = static_cast<std::int32_t>(top - x.begin());
    log_sums_[row] = log_sum_exp(x, *top);
    for (std::size_t i = 0; i < width; ++i)
      probabilities_[row * width + i] =
          static_cast<float>(std::exp(static_cast<double>(x[i]) - log_sums_[row]));
  });
  require_finite(log_sums_, name);
}

void ReferenceRows::compare(std::span<const float> logits, std::span<const std::int32_t> targets,
                            ThreadPool& pool, const std::string& name, std::vector<RowScore>& scores) const {
  OCTET_CHECK(logits.size() == logits_.size() && targets.size() == log_sums_.size());
  const auto width = static_cast<std::size_t>(vocab_);
  scores.resize(targets.size());
  std::vector<double> log_sums(targets.size());
  pool.run(targets.size(), [&](std::size_t row, int) {
    const std::span<const float> y = logits.subspan(row * width, width);
    const float* x = logits_.data() + row * width;
    const float* p = probabilities_.data() + row * width;
    const auto top = std::max_element(y.begin(), y.end());
    const double log_sum = log_sums[row] = log_sum_exp(y, *top);
    // log p_i - log q_i is the difference of the logits, up to the difference of the sums.
    const double shift = log_sum - log_sums_[row];
    double divergence = 0;
    for (std::size_t i = 0; i < width; ++i)
      if (p[i] > 0)
        divergence +=
            static_cast<double>(p[i]) * (static_cast<double>(x[i]) - static_cast<double>(y[i]) + shift);
    RowScore& score = scores[row];
    score.kl = std::max(divergence, 0.0);  // rounding may take a zero below it
    score.nll = targets[row] == kNoTarget
                    ? std::numeric_limits<double>::quiet_NaN()
                    : log_sum - static_cast<double>(y[static_cast<std::size_t>(targets[row])]);
    score.same_top = top - y.begin() == tops_[row];
  });
  require_finite(log_sums, name);
}

}  // namespace octet::evaluate
