#include "server/api_keys.h"

#include <gtest/gtest.h>

namespace octet::server {
namespace {

TEST(ApiKeys, AllowsTheKeysAndNothingNearThem) {
  const ApiKeys keys({"one", "two"});
  for (const char* good : {"Bearer one", "Bearer two", "bearer one"}) EXPECT_TRUE(keys.allow(good)) << good;
  for (const char* bad :
       {"", "one", "Bearer ", "Bearer on", "Bearer onee", "Bearer One", "Bearer  one", "Basic one"})
    EXPECT_FALSE(keys.allow(bad)) << bad;
}

TEST(ApiKeys, WithoutKeysEverybodyMay) { EXPECT_TRUE(ApiKeys({}).allow("")); }

}  // namespace
}  // namespace octet::server
