#include "engine/selection.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"

namespace octet::engine {

namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr std::size_t kSmallRange = 32;  // sorting is cheaper than partitioning from here down

using Iterator = std::vector<ScoredToken>::iterator;

// Puts the first `count` in order into the front, the last of them at its end.
void keep_first(std::vector<ScoredToken>& tokens, std::size_t count) {
  const auto last = tokens.begin() + static_cast<std::ptrdiff_t>(count) - 1;
  std::nth_element(tokens.begin(), last, tokens.end(), comes_before);
  tokens.resize(count);
}

double mass(Iterator begin, Iterator end) {
  double sum = 0;
  for (auto it = begin; it != end; ++it) sum += it->score;
  return sum;
}

}  // namespace

ScoredToken largest_logit(std::span<const float> logits) {
  // Sixteen independent maxima, so that the compiler can keep them in vector registers.
  constexpr std::size_t kLanes = 16;
  std::array<float, kLanes> best;
  best.fill(kLowest);
  std::array<std::uint32_t, kLanes> broken{};
  const auto look = [&](std::size_t lane, float logit) {
    best[lane] = logit > best[lane] ? logit : best[lane];
    broken[lane] |= logit <= std::numeric_limits<float>::max() ? 0u : 1u;  // NaN and +infinity fail it
  };
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) look(lane, logits[i + lane]);
  for (; i < logits.size(); ++i) look(0, logits[i]);

  const float largest = *std::max_element(best.begin(), best.end());
  if (largest == kLowest || std::find(broken.begin(), broken.end(), 1u) != broken.end())
    throw Error(ErrorCode::internal, "the model produced no finite logits", "sampler");
  const auto first = std::find(logits.begin(), logits.end(), largest);
  return {largest, static_cast<std::int32_t>(first - logits.begin())};
}

void select_top(std::span<const float> logits, std::size_t count, std::vector<ScoredToken>& top) {
  top.clear();
  if (count == 0) return;
  // Collects what beats the bar and cuts back to `count` whenever twice that has come together, which
  // raises the bar: on real logits almost every token fails one comparison. Ids rise, so a later token
  // that only equals the bar comes after all that are kept.
  const std::size_t capacity = 2 * std::min(count, logits.size()) + kSmallRange;
  float bar = kLowest;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (!(logits[id] > bar)) continue;
    top.push_back({logits[id], static_cast<std::int32_t>(id)});
    if (top.size() < capacity) continue;
    keep_first(top, count);
    bar = top.back().score;
  }
  if (!top.empty()) keep_first(top, std::min(count, top.size()));
}

ScoredToken last_of_nucleus(std::span<const ScoredToken> weights, double total, double top_p,
                            std::vector<ScoredToken>& scratch) {
  // All tokens lighter than this together weigh less than 1 - top_p, so the set ends before the first of them.
  const double floor = (1.0 - top_p) * total / static_cast<double>(weights.size());
  scratch.clear();
  for (const ScoredToken& token : weights)
    if (token.score >= floor) scratch.push_back(token);

  // Halve the range that the end of the set lies in; `before` weighs everything in front of the range.
  const double target = top_p * total;
  double before = 0;
  auto begin = scratch.begin(), end = scratch.end();
  while (static_cast<std::size_t>(end - begin) > kSmallRange) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, comes_before);
    const double half = mass(begin, middle);
    if (before + half >= target) {
      end = middle;
    } else {
      before += half;
      begin = middle;
    }
  }
  std::sort(begin, end, comes_before);
  for (auto it = begin; it != end; ++it) {
    before += it->score;
    if (before >= target) return *it;
  }
  return *(end - 1);  // rounding alone kept the sum below the target
}

}  // namespace octet::engine
