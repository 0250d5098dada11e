#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace octet::engine {
namespace {

using Ids = std::vector<std::int32_t>;
using Logits = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Logits random_logits(std::uint64_t seed, std::size_t size, float spread) {
  std::mt19937_64 random(seed);
  Logits logits(size);
  for (float& logit : logits) logit = spread * (static_cast<float>(random() >> 40) * 0x1p-23f - 1.0f);
  return logits;
}

struct Context {
  Ids prompt = {};
  Ids output = {};
  Ids forbidden = {};
};

// The same rules, written the slow and obvious way in double precision: probabilities by token id.
std::map<std::int32_t, double> exact_distribution(const Sampling& sampling, const Logits& logits,
                                                  const Context& context) {
  std::vector<double> values(logits.begin(), logits.end());
  for (const auto id : context.forbidden) values[static_cast<std::size_t>(id)] = -kInfinity;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    const auto times = std::count(context.output.begin(), context.output.end(), id);
    const auto in_prompt = std::count(context.prompt.begin(), context.prompt.end(), id);
    if (times + in_prompt > 0)
      values[i] =
          values[i] > 0 ? values[i] / sampling.repetition_penalty : values[i] * sampling.repetition_penalty;
    values[i] -= sampling.frequency_penalty * static_cast<double>(times);
    if (times > 0) values[i] -= sampling.presence_penalty;
  }
  Ids order(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](std::int32_t id) { return values[static_cast<std::size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return value(a) > value(b); });
  if (sampling.temperature < 1e-5) return {{order[0], 1.0}};

  const auto weight = [&](std::int32_t id) {
    return std::exp((value(id) - value(order[0])) / sampling.temperature);
  };
  std::erase_if(order, [&](auto id) { return weight(id) < sampling.min_p || weight(id) == 0; });
  if (sampling.top_k > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(sampling.top_k)));
  double total = 0;
  for (const auto id : order) total += weight(id);
  double kept = 0;
  std::size_t count = 0;
  while (count < order.size() && (count == 0 || kept < sampling.top_p * total)) kept += weight(order[count++]);
  std::map<std::int32_t, double> distribution;
  for (std::size_t i = 0; i < count; ++i) distribution[order[i]] = weight(order[i]) / kept;
  return distribution;
}

std::map<std::int32_t, int> draw_many(Sampling sampling, const Logits& logits, const Context& context,
                                      int times) {
  sampling.seed = 12345;
  Sampler sampler(sampling);
  SamplerScratch scratch;
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < times; ++i) {
    Logits copy = logits;
    ++counts[sampler.sample(copy, context.prompt, context.output, context.forbidden, scratch, nullptr)];
  }
  return counts;
}

// Chi-square of the draws against the exact distribution. Tokens expected fewer than 5 times are pooled.
// The limit is five standard deviations above the mean: the seed is fixed, so a pass stays a pass.
void expect_distribution(const Sampling& sampling, const Logits& logits, const Context& context = {}) {
  constexpr int kDraws = 20000;
  const auto expected = exact_distribution(sampling, logits, context);
  const auto counts = draw_many(sampling, logits, context, kDraws);
  for (const auto& [id, count] : counts)
    ASSERT_TRUE(expected.contains(id)) << "token " << id << " is not in the set";
  double chi_square = 0, rest_expected = 0, rest_drawn = 0;
  int cells = 0;
  const auto add = [&](double drawn, double mean) {
    chi_square += (drawn - mean) * (drawn - mean) / mean;
    ++cells;
  };
  for (const auto& [id, probability] : expected) {
    const double mean = probability * kDraws;
    const double drawn = counts.contains(id) ? counts.at(id) : 0;
    if (mean >= 5) {
      add(drawn, mean);
    } else {
      rest_expected += mean;
      rest_drawn += drawn;
    }
  }
  if (rest_expected >= 5) add(rest_drawn, rest_expected);
  const double freedom = std::max(1, cells - 1);
  EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * freedom)) << cells << " cells";
}

TEST(Sampler, DrawsFromTheSoftmax) {
  expect_distribution({}, random_logits(1, 50, 2.0f));
  expect_distribution({.temperature = 0.5}, random_logits(2, 50, 2.0f));
  expect_distribution({.temperature = 3.0}, random_logits(3, 50, 2.0f));
  expect_distribution({}, Logits(7, -1.0f));
}

TEST(Sampler, DrawsFromWhatTheCutsLeave) {
  const Logits logits = random_logits(4, 300, 4.0f);
  expect_distribution({.top_k = 7}, logits);
  expect_distribution({.top_p = 0.6}, logits);
  expect_distribution({.min_p = 0.1}, logits);
  expect_distribution({.temperature = 1.7, .top_p = 0.8, .top_k = 40, .min_p = 0.02}, logits);
}

// The whole set, not only what happens to be drawn: every token of a small set comes, and none beside it.
TEST(Sampler, TheSetIsTheOracleSet) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 60; ++round) {
    const Logits logits = random_logits(100 + static_cast<std::uint64_t>(round), 200, 1.5f);
    Sampling sampling{.temperature = 0.5 + static_cast<double>(random() % 100) / 50.0};
    if (round % 2 == 0) sampling.top_k = 1 + static_cast<int>(random() % 12);
    if (round % 3 == 0) sampling.top_p = 0.01 + 0.08 * static_cast<double>(random() % 3);
    if (round % 5 == 0) sampling.min_p = 0.5 + 0.1 * static_cast<double>(random() % 5);
    const auto expected = exact_distribution(sampling, logits, {});
    if (expected.size() > 40) continue;
    const auto counts = draw_many(sampling, logits, {}, 4000);
    std::set<std::int32_t> drawn, allowed;
    for (const auto& [id, count] : counts) drawn.insert(id);
    for (const auto& [id, probability] : expected) allowed.insert(id);
    EXPECT_EQ(drawn, allowed) << "round " << round;
  }
}

TEST(Sampler, TiesGoToTheLowerIdAndTopKKeepsExactlyK) {
  const Logits logits = {1, 2, 2, 0, 2, 2};
  for (const auto& [k, ids] : std::map<int, std::set<std::int32_t>>{{1, {1}}, {2, {1, 2}}, {3, {1, 2, 4}}}) {
    std::set<std::int32_t> drawn;
    for (const auto& [id, count] : draw_many({.top_k = k}, logits, {}, 500)) drawn.insert(id);
    EXPECT_EQ(drawn, ids);
  }
  std::set<std::int32_t> drawn;  // four ties of a quarter each, nearly
  for (const auto& [id, count] : draw_many({.temperature = 0.01, .top_p = 0.5}, logits, {}, 500))
    drawn.insert(id);
  EXPECT_EQ(drawn, (std::set<std::int32_t>{1, 2}));
}

std::int32_t greedy(Sampling sampling, Logits logits, const Context& context = {}) {
  sampling.temperature = 0;
  SamplerScratch scratch;
  return Sampler(sampling).sample(logits, context.prompt, context.output, context.forbidden, scratch, nullptr);
}

TEST(Sampler, GreedyTakesTheLargestWhateverTheCuts) {
  EXPECT_EQ(greedy({}, {0, 3, -1, 3}), 1);
  EXPECT_EQ(greedy({.top_p = 0.1, .top_k = 3, .min_p = 0.5}, {0, 3, -1, 3}), 1);
  for (const double temperature : {0.0, 9.9e-6}) {
    Logits logits = {5, 5.0001f, 4};
    SamplerScratch scratch;
    EXPECT_EQ(Sampler({.temperature = temperature}).sample(logits, {}, {}, {}, scratch, nullptr), 1);
  }
}

TEST(Sampler, LowTemperatureDoesNotOverflow) {
  for (const double temperature : {1e-5, 1e-3})
    EXPECT_EQ(draw_many({.temperature = temperature}, {100, 101, -3000}, {}, 50).count(1), 1u);
}

TEST(Sampler, ForbiddenTokensAreNeverChosen) {
  const Context context{.forbidden = {1, 3}};
  EXPECT_EQ(greedy({}, {0, 3, 2, 9}, context), 2);
  expect_distribution({}, {0, 3, 2, 9}, context);
  expect_distribution({.top_k = 2}, {0, 3, 2, 9}, context);
}

TEST(Sampler, PenaltiesFollowTheirDefinitions) {
  // Token 0: prompt; 1: generated twice; 2: both; 3: neither.
  const Context context{.prompt = {0, 2, 0}, .output = {1, 2, 1}};
  const Logits logits = {2.0f, 2.0f, -1.0f, 1.0f};
  EXPECT_EQ(greedy({.repetition_penalty = 2.5}, logits, context), 3);
  EXPECT_EQ(greedy({.presence_penalty = 0.5}, logits, context), 0);  // the prompt is not punished
  EXPECT_EQ(greedy({.frequency_penalty = 0.5}, {0.9f, 2.0f, -1, 0.95f}, context), 1);  // 2 - 2 * 0.5
  EXPECT_EQ(greedy({.frequency_penalty = 0.6}, {0.7f, 2.0f, -1, 0.9f}, context), 3);   // 2 - 2 * 0.6
  EXPECT_EQ(greedy({.presence_penalty = -2.0}, logits, context), 1);                   // encouragement
  // 2 / 1e-60 is no float, and 0 * 1e60 no number.
  EXPECT_EQ(greedy({.repetition_penalty = 1e-60}, {2.0f, 2.5f, -1, 1}, context), 1);
  EXPECT_EQ(greedy({.repetition_penalty = 1e60}, {0.0f, 2.5f, -1, -1}, context), 1);
  for (const Sampling& sampling :
       {Sampling{.repetition_penalty = 1.7}, Sampling{.repetition_penalty = 0.6},
        Sampling{.presence_penalty = 0.8}, Sampling{.frequency_penalty = 0.4},
        Sampling{
            .temperature = 0.8, .presence_penalty = -0.5, .frequency_penalty = 0.3, .repetition_penalty = 1.3}})
    expect_distribution(sampling, logits, context);
}

TEST(Sampler, PenaltiesLeaveNothingBehindInTheScratch) {
  SamplerScratch scratch;
  Sampler sampler({.temperature = 0, .repetition_penalty = 4.0});
  Logits logits = {2, 1};
  EXPECT_EQ(sampler.sample(logits, Ids{0}, {}, {}, scratch, nullptr), 1);
  logits = {2, 1};
  EXPECT_EQ(sampler.sample(logits, Ids{1}, {}, {}, scratch, nullptr), 0);
}

TEST(Sampler, LogprobsAreOfTheRawLogits) {
  const Logits raw = {1.0f, 4.0f, 2.0f, 4.0f, -kInfinity, 0.0f};
  double sum = 0;
  for (const float logit : raw) sum += std::exp(static_cast<double>(logit));
  const auto logprob = [&](std::size_t id) { return raw[id] - std::log(sum); };

  Sampler sampler({.temperature = 0, .repetition_penalty = 8.0, .logprobs = 3});
  SamplerScratch scratch;
  std::vector<TokenLogprob> logprobs;
  Logits logits = raw;
  // Both 4s are masked or punished; 2 is chosen, third of the raw order.
  ASSERT_EQ(sampler.sample(logits, Ids{3, 1}, {}, Ids{1}, scratch, &logprobs), 2);
  ASSERT_EQ(logprobs.size(), 3u);  // the chosen one is among the three likeliest
  const std::vector<std::pair<std::int32_t, int>> expected = {{2, 3}, {1, 1}, {3, 2}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(logprobs[i].token_id, expected[i].first);
    EXPECT_EQ(logprobs[i].rank, expected[i].second);
    EXPECT_NEAR(logprobs[i].logprob, logprob(static_cast<std::size_t>(expected[i].first)), 1e-6);
  }

  logits = raw;
  ASSERT_EQ(sampler.sample(logits, Ids{3, 1, 2, 0}, {}, Ids{1, 3, 2, 0}, scratch, &logprobs), 5);
  ASSERT_EQ(logprobs.size(), 4u);  // the chosen one beside the three likeliest
  EXPECT_EQ(logprobs[0].token_id, 5);
  EXPECT_EQ(logprobs[0].rank, 5);
  EXPECT_EQ(logprobs[3].token_id, 2);
  EXPECT_EQ(logprobs[3].rank, 3);
}

TEST(Sampler, LogprobsOfNoneMoreThanTheChosenToken) {
  Sampler sampler({.temperature = 0, .logprobs = 0});
  SamplerScratch scratch;
  std::vector<TokenLogprob> logprobs(7);
  Logits logits = {1, 2};
  sampler.sample(logits, {}, {}, {}, scratch, &logprobs);
  ASSERT_EQ(logprobs.size(), 1u);
  EXPECT_EQ(logprobs[0].token_id, 1);
  EXPECT_EQ(logprobs[0].rank, 1);
  EXPECT_NEAR(logprobs[0].logprob, -std::log1p(std::exp(-1.0)), 1e-6);
}

TEST(Sampler, AllLogprobsOfALargeVocabularySumToOne) {
  const Logits raw = random_logits(6, 5000, 10.0f);
  Sampler sampler({.seed = 3, .logprobs = 5000});
  SamplerScratch scratch;
  std::vector<TokenLogprob> logprobs;
  Logits logits = raw;
  sampler.sample(logits, {}, {}, {}, scratch, &logprobs);
  ASSERT_EQ(logprobs.size(), raw.size());
  double sum = 0;
  std::set<int> ranks;
  for (const TokenLogprob& token : logprobs) {
    sum += std::exp(static_cast<double>(token.logprob));
    ranks.insert(token.rank);
  }
  EXPECT_NEAR(sum, 1.0, 1e-5);
  EXPECT_EQ(ranks.size(), raw.size());
  EXPECT_EQ(*ranks.rbegin(), 5000);
  for (std::size_t i = 2; i < logprobs.size(); ++i) EXPECT_LE(logprobs[i].logprob, logprobs[i - 1].logprob);
}

// Asking for logprobs must not change what is drawn.
TEST(Sampler, LogprobsDoNotDisturbTheDraw) {
  const Context context{.prompt = {1, 2}, .output = {3, 3, 4}, .forbidden = {0}};
  Sampling sampling{.top_p = 0.9, .frequency_penalty = 0.2, .repetition_penalty = 1.2, .seed = 9};
  Sampler plain(sampling);
  sampling.logprobs = 5;
  Sampler watched(sampling);
  SamplerScratch scratch;
  std::vector<TokenLogprob> logprobs;
  for (std::uint64_t i = 0; i < 200; ++i) {
    Logits logits = random_logits(i, 100, 3.0f);
    Logits copy = logits;
    ASSERT_EQ(plain.sample(logits, context.prompt, context.output, context.forbidden, scratch, nullptr),
              watched.sample(copy, context.prompt, context.output, context.forbidden, scratch, &logprobs));
  }
}

TEST(Sampler, ASeedGivesTheSameTokens) {
  const auto run = [](std::optional<std::uint64_t> seed) {
    Sampler sampler({.seed = seed});
    SamplerScratch scratch;
    Ids ids;
    for (int i = 0; i < 30; ++i) {
      Logits logits = random_logits(static_cast<std::uint64_t>(i), 1000, 1.0f);
      ids.push_back(sampler.sample(logits, {}, {}, {}, scratch, nullptr));
    }
    return ids;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
  EXPECT_NE(run(std::nullopt), run(std::nullopt));
}

// Fixed numbers: a change here changes what every seed of every user gives.
TEST(Sampler, ASeedGivesTheseTokensOnEveryMachine) {
  Sampler sampler({.top_p = 0.95, .top_k = 50, .seed = 42});
  SamplerScratch scratch;
  Ids ids;
  for (int i = 0; i < 6; ++i) {
    Logits logits(500);
    for (std::size_t j = 0; j < logits.size(); ++j) logits[j] = static_cast<float>(j * 37 % 101) * 0.125f;
    ids.push_back(sampler.sample(logits, {}, {}, {}, scratch, nullptr));
  }
  EXPECT_EQ(ids, (Ids{371, 322, 371, 60, 453, 49}));
}

TEST(Sampler, LogitsThatAreNotFiniteAreAnError) {
  for (const double temperature : {0.0, 1.0}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
      Sampler sampler({.temperature = temperature, .seed = 1});
      SamplerScratch scratch;
      Logits logits = {1, bad, 2};
      try {
        sampler.sample(logits, {}, {}, {}, scratch, nullptr);
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::internal);
        EXPECT_NE(std::string(error.what()).find("the model produced no finite logits"), std::string::npos);
      }
    }
  }
}

}  // namespace
}  // namespace octet::engine
