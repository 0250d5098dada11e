#include "evaluate/drift.h"

#include <gtest/gtest.h>

#include "evaluate/tiny_subject.h"
#include "model/sequence_runner.h"

namespace octet::evaluate {
namespace {

TEST(Drift, GreedyTextsAreThoseOfOneSequenceAtATime) {
  tests::TinyModel tiny;
  const std::vector<TokenIds> prompts = {tiny.text(5, 1), tiny.text(40, 2), tiny.text(1, 3)};
  const Subject subject = tiny.subject(KvDtype::float32, 300);
  const std::vector<TokenIds> texts = continue_greedily(subject, prompts, 20, {}, nullptr);
  tests::SequenceRunner runner(tiny.directory, {});
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    tests::RunnerSequence sequence;
    TokenIds expected;
    std::vector<float> logits = runner.step({{&sequence, prompts[i]}}, false);
    for (int step = 0; step < 20; ++step) {
      expected.push_back(tests::argmax(logits.data(), tiny.model->config().vocab_size));
      logits = runner.step({{&sequence, {expected.back()}}}, false);
    }
    runner.release(sequence);
    EXPECT_EQ(texts[i], expected) << "prompt " << i;
    // And with an end token, up to and with its first occurrence.
    const std::int32_t end[] = {expected[7]};
    const auto first = std::find(expected.begin(), expected.end(), end[0]);
    const std::vector<TokenIds> ended = continue_greedily(subject, prompts, 20, end, nullptr);
    EXPECT_EQ(ended[i], TokenIds(expected.begin(), first + 1)) << "prompt " << i;
  }
}

TEST(Drift, FirstDifferenceAndTokensInCommon) {
  const auto compare = [](TokenIds a, TokenIds b) {
    const Drift drift = compare_continuations(a, b);
    return std::pair(drift.first_difference, drift.in_common);
  };
  EXPECT_EQ(compare({1, 2, 3}, {1, 2, 3}), std::pair(3, 3));
  EXPECT_EQ(compare({1, 2, 3}, {4, 5, 6}), std::pair(0, 0));
  EXPECT_EQ(compare({1, 2, 3, 4, 5}, {1, 9, 2, 3, 4}), std::pair(1, 4));  // one token in between
  EXPECT_EQ(compare({1, 2, 3, 4}, {1, 2}), std::pair(2, 2));              // it ended early
  EXPECT_EQ(compare({1, 3, 2, 4}, {1, 2, 3, 4}), std::pair(1, 3));
  EXPECT_EQ(compare({1}, {}), std::pair(0, 0));
}

}  // namespace
}  // namespace octet::evaluate
