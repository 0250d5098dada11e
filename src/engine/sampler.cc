#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace octet::engine {

namespace {

constexpr double kGreedyBelow = 1e-5;  // a temperature; vLLM's _SAMPLING_EPS
constexpr float kMasked = -std::numeric_limits<float>::infinity();

// A mark says whether a token was seen at all (bit 0) and how often it was generated (the rest).
constexpr std::int32_t kSeen = 1;
constexpr std::int32_t kGeneratedOnce = 2;

std::uint64_t seed_of(const Sampling& sampling) {
  if (sampling.seed) return *sampling.seed;
  std::random_device system;
  return (static_cast<std::uint64_t>(system()) << 32) | system();
}

void set_logit(std::span<float> logits, std::int32_t id, float value, SamplerScratch& scratch) {
  float& logit = logits[static_cast<std::size_t>(id)];
  scratch.original_logits.emplace_back(id, logit);
  logit = value;
}

void mark(std::int32_t id, std::int32_t change, SamplerScratch& scratch) {
  std::int32_t& value = scratch.marks[static_cast<std::size_t>(id)];
  if (value == 0) {
    scratch.marked.push_back(id);
    value = kSeen;
  }
  value += change;
}

double log_sum_exp(std::span<const float> logits, float largest) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

// The chosen token first, then those of the likeliest that are not it.
void list_logprobs(std::span<const float> logits, double normalizer, std::int32_t chosen,
                   std::span<const ScoredToken> likeliest, std::vector<TokenLogprob>& logprobs) {
  const auto logprob = [&](float logit) { return static_cast<float>(logit - normalizer); };
  const float logit = logits[static_cast<std::size_t>(chosen)];
  const auto before = logits.begin() + chosen;
  const auto better = std::count_if(logits.begin(), logits.end(), [&](float other) { return other > logit; });
  const auto rank = 1 + better + std::count(logits.begin(), before, logit);
  logprobs.clear();
  logprobs.push_back({chosen, logprob(logit), static_cast<int>(rank)});
  int next_rank = 0;
  for (const ScoredToken& token : likeliest) {
    ++next_rank;
    if (token.id != chosen) logprobs.push_back({token.id, logprob(token.score), next_rank});
  }
}

}  // namespace

std::vector<TokenLogprob> token_logprobs(std::span<const float> logits, std::int32_t token, int count,
                                         SamplerScratch& scratch) {
  const double normalizer = log_sum_exp(logits, largest_logit(logits).score);
  select_top(logits, static_cast<std::size_t>(count), scratch.likeliest);
  std::sort(scratch.likeliest.begin(), scratch.likeliest.end(), comes_before);
  std::vector<TokenLogprob> logprobs;
  list_logprobs(logits, normalizer, token, scratch.likeliest, logprobs);
  return logprobs;
}

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling), generator_(seed_of(sampling)) {}

bool Sampler::is_greedy() const { return sampling_.temperature < kGreedyBelow; }

std::int32_t Sampler::sample(std::span<float> logits, std::span<const std::int32_t> prompt,
                             std::span<const std::int32_t> output, std::span<const std::int32_t> forbidden,
                             SamplerScratch& scratch, std::vector<TokenLogprob>* logprobs) {
  ScoredToken best = largest_logit(logits);
  double normalizer = 0;
  if (sampling_.logprobs >= 0) {
    OCTET_CHECK(logprobs != nullptr);
    normalizer = log_sum_exp(logits, best.score);
    select_top(logits, static_cast<std::size_t>(sampling_.logprobs), scratch.likeliest);
    std::sort(scratch.likeliest.begin(), scratch.likeliest.end(), comes_before);
  }

  scratch.original_logits.clear();
  for (const std::int32_t id : forbidden) set_logit(logits, id, kMasked, scratch);
  for (const auto& [id, bias] : sampling_.logit_bias)
    set_logit(logits, id, logits[static_cast<std::size_t>(id)] + bias, scratch);
  penalise(logits, prompt, output, scratch);
  if (!scratch.original_logits.empty()) best = largest_logit(logits);

  std::int32_t chosen = best.id;
  if (!is_greedy()) {
    gather_candidates(logits, best.score, scratch);
    chosen = draw(scratch);
  }
  if (sampling_.logprobs >= 0) {
    // Backwards: a token that was masked and then penalised has its first value at the front.
    for (auto it = scratch.original_logits.rbegin(); it != scratch.original_logits.rend(); ++it)
      logits[static_cast<std::size_t>(it->first)] = it->second;
    list_logprobs(logits, normalizer, chosen, scratch.likeliest, *logprobs);
  }
  return chosen;
}

void Sampler::penalise(std::span<float> logits, std::span<const std::int32_t> prompt,
                       std::span<const std::int32_t> output, SamplerScratch& scratch) const {
  // Beyond these a logit would be infinite or no number; its place among the others is the same.
  const auto repetition = static_cast<float>(std::clamp(sampling_.repetition_penalty, 1e-30, 1e30));
  const auto frequency = static_cast<float>(sampling_.frequency_penalty);
  const auto presence = static_cast<float>(sampling_.presence_penalty);
  if (repetition == 1.0f && frequency == 0.0f && presence == 0.0f) return;

  scratch.marks.resize(logits.size(), 0);
  scratch.marked.clear();
  if (repetition != 1.0f)
    for (const std::int32_t id : prompt) mark(id, 0, scratch);
  for (const std::int32_t id : output) mark(id, kGeneratedOnce, scratch);

  for (const std::int32_t id : scratch.marked) {
    std::int32_t& value = scratch.marks[static_cast<std::size_t>(id)];
    const std::int32_t times = value / kGeneratedOnce;
    value = 0;
    float logit = logits[static_cast<std::size_t>(id)];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    logit -= frequency * static_cast<float>(times);
    if (times > 0) logit -= presence;
    set_logit(logits, id, logit, scratch);
  }
}

// Fills scratch.candidates with the tokens that temperature, min_p, top_k and top_p leave, in id order.
void Sampler::gather_candidates(std::span<const float> logits, float largest, SamplerScratch& scratch) const {
  const double temperature = sampling_.temperature;
  double floor = -std::numeric_limits<double>::infinity();  // of (logit - largest)
  if (sampling_.min_p > 0) floor = temperature * std::log(sampling_.min_p);
  auto& candidates = scratch.candidates;
  candidates.clear();
  double total = 0;
  const auto consider = [&](float logit, std::int32_t id) {
    const double distance = static_cast<double>(logit) - largest;
    if (distance < floor) return;
    const float weight = std::exp(static_cast<float>(distance / temperature));
    if (weight == 0.0f) return;  // masked, or too far below to be drawn
    candidates.push_back({weight, id});
    total += weight;
  };
  if (sampling_.top_k > 0 && static_cast<std::size_t>(sampling_.top_k) < logits.size()) {
    // min_p cuts by value, so the best top_k of what it leaves are what it leaves of the best top_k.
    select_top(logits, static_cast<std::size_t>(sampling_.top_k), scratch.top);
    std::sort(scratch.top.begin(), scratch.top.end(), [](auto& a, auto& b) { return a.id < b.id; });
    for (const ScoredToken& token : scratch.top) consider(token.score, token.id);
  } else {
    for (std::size_t i = 0; i < logits.size(); ++i) consider(logits[i], static_cast<std::int32_t>(i));
  }
  if (sampling_.top_p >= 1.0) return;
  const ScoredToken last = last_of_nucleus(candidates, total, sampling_.top_p, scratch.nucleus);
  std::erase_if(candidates, [&](const ScoredToken& token) { return comes_before(last, token); });
}

std::int32_t Sampler::draw(SamplerScratch& scratch) {
  double total = 0;
  for (const ScoredToken& token : scratch.candidates) total += token.score;
  // 53 bits, in [0, 1): the standard library's distributions differ from one implementation to the next.
  const double target = total * (static_cast<double>(generator_() >> 11) * 0x1p-53);
  double sum = 0;
  for (const ScoredToken& token : scratch.candidates) {
    sum += token.score;
    if (sum > target) return token.id;
  }
  return scratch.candidates.back().id;  // rounding alone kept the sum at the target
}

}  // namespace octet::engine
