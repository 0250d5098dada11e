#include "engine/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "base/error.h"

namespace octet::engine {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Logits from few values, so that most of them tie, or from many.
std::vector<float> random_logits(std::mt19937_64& random, std::size_t size, bool ties) {
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = ties ? static_cast<float>(random() % 5) : static_cast<float>(random() % 100000) * 1e-4f;
    if (random() % 50 == 0) logit = -kInfinity;
  }
  logits[random() % size] = 1.5f;
  return logits;
}

std::vector<ScoredToken> sorted(std::span<const float> scores) {
  std::vector<ScoredToken> tokens;
  for (std::size_t i = 0; i < scores.size(); ++i) tokens.push_back({scores[i], static_cast<std::int32_t>(i)});
  std::stable_sort(tokens.begin(), tokens.end(), [](auto& a, auto& b) { return a.score > b.score; });
  return tokens;
}

TEST(LargestLogit, IsTheFirstOfTheLargest) {
  std::mt19937_64 random(1);
  for (std::size_t size = 1; size < 200; ++size) {
    const std::vector<float> logits = random_logits(random, size, size % 2 == 0);
    const auto expected = std::max_element(logits.begin(), logits.end()) - logits.begin();
    const ScoredToken best = largest_logit(logits);
    EXPECT_EQ(best.id, expected);
    EXPECT_EQ(best.score, logits[static_cast<std::size_t>(expected)]);
  }
}

TEST(LargestLogit, OneBadLogitAnywhereIsAnError) {
  for (std::size_t size : {1u, 15u, 16u, 17u, 40u}) {
    for (std::size_t place = 0; place < size; ++place) {
      for (const float bad : {kNan, -kNan, kInfinity}) {
        std::vector<float> logits(size, 0.5f);
        logits[place] = bad;
        try {
          largest_logit(logits);
          FAIL() << "no error for " << bad << " at " << place;
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::internal);
          EXPECT_NE(error.message().find("no finite logits"), std::string::npos);
        }
      }
    }
  }
  EXPECT_THROW(largest_logit(std::vector<float>(20, -kInfinity)), Error);
  std::vector<float> masked(20, -kInfinity);
  masked[19] = -3.0f;
  EXPECT_EQ(largest_logit(masked).id, 19);
}

TEST(SelectTop, AgreesWithSorting) {
  std::mt19937_64 random(2);
  std::vector<ScoredToken> top;
  for (int round = 0; round < 400; ++round) {
    const std::size_t size = 1 + random() % 700;
    const std::vector<float> logits = random_logits(random, size, round % 2 == 0);
    std::vector<ScoredToken> expected = sorted(logits);
    std::erase_if(expected, [](const ScoredToken& token) { return token.score == -kInfinity; });
    const std::size_t count = 1 + random() % (size + 3);
    expected.resize(std::min(count, expected.size()));

    select_top(logits, count, top);
    ASSERT_EQ(top.size(), expected.size());
    EXPECT_EQ(top.back().id, expected.back().id) << "the last one does not stand at the back";
    std::sort(top.begin(), top.end(), comes_before);
    for (std::size_t i = 0; i < top.size(); ++i) {
      ASSERT_EQ(top[i].id, expected[i].id);
      ASSERT_EQ(top[i].score, expected[i].score);
    }
  }
  select_top(std::vector<float>{1, 2}, 0, top);
  EXPECT_TRUE(top.empty());
}

TEST(LastOfNucleus, AgreesWithSorting) {
  std::mt19937_64 random(3);
  std::vector<ScoredToken> scratch;
  for (int round = 0; round < 400; ++round) {
    const std::size_t size = 1 + random() % 2000;
    // Integers: sums are exact in any order, so the two must agree to the token.
    std::vector<float> weights(size);
    for (float& weight : weights)
      weight = static_cast<float>(1 + random() % (round % 2 == 0 ? 3 : 1000000) / (1 + random() % 1000));
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    const double top_p = static_cast<double>(1 + random() % 999) / 1000.0;

    std::vector<ScoredToken> tokens;
    for (std::size_t i = 0; i < size; ++i) tokens.push_back({weights[i], static_cast<std::int32_t>(i)});
    const std::vector<ScoredToken> order = sorted(weights);
    double sum = 0;
    std::size_t last = 0;
    for (; last < size; ++last)
      if ((sum += order[last].score) >= top_p * total) break;
    ASSERT_LT(last, size);
    ASSERT_EQ(last_of_nucleus(tokens, total, top_p, scratch).id, order[last].id)
        << "round " << round << ", size " << size << ", top_p " << top_p;
  }
}

TEST(LastOfNucleus, KeepsAtLeastTheLikeliest) {
  std::vector<ScoredToken> scratch;
  const std::vector<ScoredToken> tokens = {{1, 0}, {8, 1}, {1, 2}};
  EXPECT_EQ(last_of_nucleus(tokens, 10, 1e-9, scratch).id, 1);
  EXPECT_EQ(last_of_nucleus(tokens, 10, 0.8, scratch).id, 1);
  EXPECT_EQ(last_of_nucleus(tokens, 10, 0.81, scratch).id, 0);
  EXPECT_EQ(last_of_nucleus(tokens, 10, 0.95, scratch).id, 2);
}

}  // namespace
}  // namespace octet::engine
