#include "evaluate/retrieval.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evaluate/tiny_subject.h"
#include "model/sequence_runner.h"

namespace octet::evaluate {
namespace {

TEST(Retrieval, ScoresTheAnswerTokenByToken) {
  tests::TinyModel tiny;
  const Subject subject = tiny.subject(KvDtype::float32, 200);
  const TokenIds prompt = tiny.text(100);
  const int vocab = tiny.model->config().vocab_size;
  const TokenIds greedy = continue_greedily(subject, std::vector<TokenIds>{prompt}, 4, {}, nullptr).front();
  TokenIds other = greedy;
  other[3] = (other[3] + 1) % vocab;
  for (const TokenIds& answer : {greedy, other}) {
    const NeedleScore score = score_needle(subject, {prompt, answer});
    tests::SequenceRunner runner(tiny.directory, {});
    tests::RunnerSequence sequence;
    std::vector<float> logits = runner.step({{&sequence, prompt}}, false);
    double expected = 0;
    for (const std::int32_t token : answer) {
      double sum = 0;
      for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
      expected += static_cast<double>(logits[static_cast<std::size_t>(token)]) - std::log(sum);
      logits = runner.step({{&sequence, {token}}}, false);
    }
    EXPECT_NEAR(score.logprob, expected, 1e-3);
    EXPECT_EQ(score.found, answer == greedy);
  }
}

}  // namespace
}  // namespace octet::evaluate
