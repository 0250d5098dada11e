#include "kv/prefix_index.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace octet::kv {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(PrefixIndex, FindsABlockByAllThatNamesIt) {
  const Ids tokens = {1, 2, 3, 4}, others = {1, 2, 3, 5};
  PrefixIndex index(8);
  const ContentId first = index.insert(5, {100, tokens, 4});
  const ContentId second = index.insert(6, {first, tokens, 4});
  EXPECT_NE(first, second);
  EXPECT_EQ(index.find({100, tokens, 4})->block, 5);
  EXPECT_EQ(index.find({100, tokens, 4})->content, first);
  EXPECT_EQ(index.find({first, tokens, 4})->block, 6);
  EXPECT_FALSE(index.find({101, tokens, 4})) << "another parent";
  EXPECT_FALSE(index.find({second, tokens, 4})) << "another parent";
  EXPECT_FALSE(index.find({100, others, 4})) << "another token";
  EXPECT_FALSE(index.find({100, tokens, 3})) << "the last token came from the decode kernel";
  EXPECT_FALSE(index.find({100, Ids{1, 2, 3}, 4})) << "fewer tokens";
}

TEST(PrefixIndex, WhatIsErasedIsGoneAndItsNameIsNeverUsedAgain) {
  const Ids tokens = {1, 2};
  PrefixIndex index(2);
  const ContentId first = index.insert(0, {9, tokens, 2});
  EXPECT_TRUE(index.contains(0));
  EXPECT_FALSE(index.contains(1));
  EXPECT_THROW(index.insert(0, {9, tokens, 1}), Error);
  index.erase(0);
  index.erase(0);
  EXPECT_FALSE(index.contains(0));
  EXPECT_FALSE(index.find({9, tokens, 2}));
  EXPECT_NE(index.insert(1, {9, tokens, 2}), first);
}

}  // namespace
}  // namespace octet::kv
