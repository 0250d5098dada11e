#include "base/error.h"

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace octet {
namespace {

TEST(Error, WhatPutsTheContextBeforeTheMessage) {
  const Error error(ErrorCode::invalid_file, "the header ends early", "model.safetensors");
  EXPECT_EQ(error.code(), ErrorCode::invalid_file);
  EXPECT_EQ(error.message(), "the header ends early");
  EXPECT_EQ(error.context(), "model.safetensors");
  EXPECT_STREQ(error.what(), "model.safetensors: the header ends early");
}

TEST(Error, WithoutAContextThereIsNoColon) {
  const Error error(ErrorCode::internal, "no reason");
  EXPECT_EQ(error.context(), "");
  EXPECT_STREQ(error.what(), "no reason");
}

TEST(Error, IsCaughtAsAStandardException) {
  try {
    throw Error(ErrorCode::unsupported, "head_dim 40", "config.json");
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), "config.json: head_dim 40");
    return;
  }
}

TEST(Check, PassesWithoutEvaluatingTwice) {
  int evaluations = 0;
  OCTET_CHECK(++evaluations == 1);
  EXPECT_EQ(evaluations, 1);
}

TEST(Check, FailureNamesTheExpressionAndThePlace) {
  try {
    OCTET_CHECK(1 + 1 == 3);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_NE(error.message().find("1 + 1 == 3"), std::string::npos) << error.message();
    EXPECT_NE(error.context().find("error_test.cc:"), std::string::npos) << error.context();
  }
}

TEST(Check, IsOneStatement) {
  // An unbraced else must belong to the outer if.
  bool reached = false;
  if (reached)
    OCTET_CHECK(true);
  else
    reached = true;
  EXPECT_TRUE(reached);
}

TEST(Dcheck, ChecksInDebugBuildsOnly) {
#ifdef NDEBUG
  EXPECT_NO_THROW(OCTET_DCHECK(1 + 1 == 3));
#else
  EXPECT_THROW(OCTET_DCHECK(1 + 1 == 3), Error);
#endif
}

}  // namespace
}  // namespace octet
