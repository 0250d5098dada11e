#include "evaluate/likelihood.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "evaluate/tiny_subject.h"
#include "model/sequence_runner.h"

namespace octet::evaluate {
namespace {

// Log-probabilities of one row, the obvious way.
std::vector<double> log_softmax(const float* logits, int vocab) {
  double sum = 0;
  for (int i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[i]));
  std::vector<double> out;
  for (int i = 0; i < vocab; ++i) out.push_back(static_cast<double>(logits[i]) - std::log(sum));
  return out;
}

TEST(Likelihood, IsWhatANaiveCalculationGives) {
  tests::TinyModel tiny;
  const std::vector<std::int32_t> ids = tiny.text(200);
  const int vocab = tiny.model->config().vocab_size;
  const std::vector<Window> windows = cut_windows(ids, {}, 80, 50);
  const Subject subjects[] = {tiny.subject(KvDtype::float32), tiny.subject(KvDtype::fp8_e5m2)};
  std::int64_t last = 0, whole = 0;
  const LikelihoodScores scores =
      score_windows(windows, subjects, tiny.pool, [&](std::int64_t done, std::int64_t total) {
        EXPECT_GE(done, last);
        last = done;
        whole = total;
      });
  EXPECT_EQ(last, whole);
  ASSERT_EQ(scores.positions.size(), ids.size());

  tests::SequenceRunner exact(tiny.directory, {});
  tests::RunnerOptions quantised;
  quantised.dtype = KvDtype::fp8_e5m2;
  tests::SequenceRunner rough(tiny.directory, quantised);
  std::size_t at = 0;
  double divergence = 0;
  int agree = 0, found_agree = 0;
  for (const Window& window : windows) {
    const std::vector<float> p_logits = exact.logits(window.ids, 80);
    const std::vector<float> q_logits = rough.logits(window.ids, 80);
    for (std::size_t i = static_cast<std::size_t>(window.first_scored); i < window.ids.size(); ++i, ++at) {
      const float* p_row = p_logits.data() + i * static_cast<std::size_t>(vocab);
      const float* q_row = q_logits.data() + i * static_cast<std::size_t>(vocab);
      const std::vector<double> p = log_softmax(p_row, vocab), q = log_softmax(q_row, vocab);
      double kl = 0;
      for (std::size_t v = 0; v < p.size(); ++v) kl += std::exp(p[v]) * (p[v] - q[v]);
      const RowScore& found = scores.subjects[1][at];
      EXPECT_EQ(scores.positions[at], static_cast<std::int32_t>(i));
      EXPECT_NEAR(found.kl, kl, 2e-4 + 0.02 * kl);  // chunks end elsewhere, so E5M2 may round elsewhere
      divergence += found.kl;
      EXPECT_EQ(scores.subjects[0][at].kl, 0);
      EXPECT_TRUE(scores.subjects[0][at].same_top);
      agree += tests::argmax(p_row, vocab) == tests::argmax(q_row, vocab) ? 1 : 0;
      found_agree += found.same_top ? 1 : 0;
      if (window.targets[i] == kNoTarget) {
        EXPECT_TRUE(std::isnan(scores.subjects[0][at].nll));
        continue;
      }
      const auto target = static_cast<std::size_t>(window.targets[i]);
      EXPECT_NEAR(scores.subjects[0][at].nll, -p[target], 1e-4);
      EXPECT_NEAR(found.nll, -q[target], 0.02 + 0.02 * std::abs(q[target]));
    }
  }
  EXPECT_EQ(at, ids.size());
  EXPECT_NEAR(found_agree, agree, 2);
  EXPECT_LT(found_agree, static_cast<int>(ids.size()));
  EXPECT_GT(divergence / static_cast<double>(ids.size()), 1e-4);  // the two caches do differ
}

TEST(Likelihood, LogitsThatAreNotFiniteAreAnErrorThatNamesTheSubject) {
  ThreadPool pool(2);
  ReferenceRows rows;
  std::vector<float> logits = {0, 1, 2, 3, 4, 5};
  rows.set(logits, 3, pool, "auto");
  logits[4] = std::nanf("");
  std::vector<RowScore> scores;
  try {
    rows.compare(logits, std::vector<std::int32_t>{0, 1}, pool, "fp8_e5m2", scores);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.context(), "fp8_e5m2");
  }
}

TEST(Likelihood, DivergenceOfKnownDistributions) {
  ThreadPool pool(1);
  ReferenceRows rows;
  const float p[] = {std::log(0.5f), std::log(0.25f), std::log(0.25f)};
  const float q[] = {std::log(0.25f) + 7, std::log(0.5f) + 7, std::log(0.25f) + 7};  // a shift changes nothing
  rows.set(p, 3, pool, "p");
  std::vector<RowScore> scores;
  rows.compare(q, std::vector<std::int32_t>{2}, pool, "q", scores);
  EXPECT_NEAR(scores[0].kl, 0.25 * std::log(2.0), 1e-6);
  EXPECT_NEAR(scores[0].nll, std::log(4.0), 1e-6);
  EXPECT_FALSE(scores[0].same_top);
}

TEST(Likelihood, ProgressMayEndIt) {
  tests::TinyModel tiny;
  const std::vector<Window> windows = cut_windows(tiny.text(100), {}, 50, 50);
  const Subject subjects[] = {tiny.subject(KvDtype::float32)};
  struct End {};
  EXPECT_THROW(score_windows(windows, subjects, tiny.pool, [](std::int64_t, std::int64_t) { throw End{}; }),
               End);
}

}  // namespace
}  // namespace octet::evaluate
