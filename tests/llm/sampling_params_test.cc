#include <gtest/gtest.h>
#include <octet/sampling_params.h>

#include <cmath>
#include <limits>
#include <string>

#include "llm/tiny_llm.h"

namespace octet {
namespace {

using tests::error_of;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect_refused(const SamplingParams& params, const std::string& field) {
  const Error error = error_of([&] { params.validate(); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error.context(), field);
  EXPECT_NE(error.message().find("expected"), std::string::npos) << error.message();
  EXPECT_NE(error.message().find("found"), std::string::npos) << error.message();
}

TEST(SamplingParams, DefaultsAreAllowed) { EXPECT_NO_THROW(SamplingParams{}.validate()); }

TEST(SamplingParams, LimitsThemselvesAreAllowed) {
  EXPECT_NO_THROW((SamplingParams{.presence_penalty = 2, .frequency_penalty = -2}.validate()));
  EXPECT_NO_THROW((SamplingParams{.temperature = 0, .top_p = 1, .top_k = -1, .min_p = 1}.validate()));
  EXPECT_NO_THROW((SamplingParams{.max_tokens = 1, .min_tokens = 1, .logprobs = 0}.validate()));
  EXPECT_NO_THROW((SamplingParams{.max_tokens = std::nullopt, .min_tokens = 1000}.validate()));
}

TEST(SamplingParams, RefusesEachFieldByName) {
  for (const double bad : {-2.1, 2.1, kNan, kInfinity}) {
    expect_refused({.presence_penalty = bad}, "presence_penalty");
    expect_refused({.frequency_penalty = bad}, "frequency_penalty");
  }
  for (const double bad : {0.0, -1.0, kNan, kInfinity})
    expect_refused({.repetition_penalty = bad}, "repetition_penalty");
  for (const double bad : {-0.01, kNan, kInfinity}) expect_refused({.temperature = bad}, "temperature");
  for (const double bad : {0.0, 1.01, -1.0, kNan}) expect_refused({.top_p = bad}, "top_p");
  for (const double bad : {-0.01, 1.01, kNan}) expect_refused({.min_p = bad}, "min_p");
  expect_refused({.top_k = -2}, "top_k");
  expect_refused({.max_tokens = 0}, "max_tokens");
  expect_refused({.min_tokens = -1}, "min_tokens");
  expect_refused({.max_tokens = 4, .min_tokens = 5}, "min_tokens");
  expect_refused({.logprobs = -1}, "logprobs");
}

TEST(SamplingParams, RefusesStopStringsByIndex) {
  expect_refused({.stop = {"a", ""}}, "stop[1]");
  expect_refused({.stop = {"\xff"}}, "stop[0]");
  EXPECT_NO_THROW((SamplingParams{.stop = {"\n\n", "é"}}.validate()));
}

TEST(SamplingParams, NamesTheValueFound) {
  const Error error = error_of([] { SamplingParams{.top_p = 1.5}.validate(); });
  EXPECT_EQ(std::string(error.what()), "top_p: expected a number greater than 0 and at most 1, found 1.5");
}

}  // namespace
}  // namespace octet
