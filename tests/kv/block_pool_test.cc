#include "kv/block_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "base/error.h"

namespace octet::kv {
namespace {

TEST(BlockPool, GivesEveryBlockOnceThenNothing) {
  BlockPool pool(5);
  std::set<BlockId> given;
  for (int i = 0; i < 5; ++i) {
    const auto block = pool.allocate();
    ASSERT_TRUE(block.has_value());
    EXPECT_GE(*block, 0);
    EXPECT_LT(*block, 5);
    EXPECT_EQ(pool.references(*block), 1);
    given.insert(*block);
  }
  EXPECT_EQ(given.size(), 5u);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_EQ(pool.allocate(), std::nullopt);
  pool.release(3);
  EXPECT_EQ(pool.allocate(), std::optional<BlockId>(3));
}

TEST(BlockPool, AFreshPoolGivesBlocksInMemoryOrder) {
  BlockPool pool(4);
  for (BlockId expected = 0; expected < 4; ++expected)
    EXPECT_EQ(pool.allocate(), std::optional<BlockId>(expected));
}

TEST(BlockPool, ASharedBlockIsFreeWhenItsLastReferenceGoes) {
  BlockPool pool(2);
  const BlockId block = *pool.allocate();
  pool.retain(block);
  pool.retain(block);
  EXPECT_EQ(pool.references(block), 3);
  pool.release(block);
  pool.release(block);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_EQ(pool.references(block), 1);
  pool.release(block);
  EXPECT_EQ(pool.num_free(), 2);
  EXPECT_EQ(pool.references(block), 0);
}

TEST(BlockPool, MisuseIsABrokenInvariantAndChangesNothing) {
  BlockPool pool(2);
  EXPECT_THROW(BlockPool(0), Error);
  EXPECT_THROW(pool.release(0), Error);  // free
  EXPECT_THROW(pool.retain(1), Error);   // free
  EXPECT_THROW(pool.references(-1), Error);
  EXPECT_THROW(pool.references(2), Error);
  EXPECT_THROW(pool.release(2), Error);
  EXPECT_EQ(pool.num_free(), 2);
}

TEST(BlockPool, AgreesWithAPlainModelOverRandomUse) {
  constexpr int kBlocks = 17;
  BlockPool pool(kBlocks);
  std::vector<int> references(kBlocks, 0);
  std::mt19937_64 random(7);
  for (int step = 0; step < 20000; ++step) {
    const auto block = static_cast<BlockId>(random() % kBlocks);
    int& count = references[static_cast<std::size_t>(block)];
    switch (random() % 3) {
      case 0:
        if (const auto given = pool.allocate()) {
          EXPECT_EQ(references[static_cast<std::size_t>(*given)], 0);
          references[static_cast<std::size_t>(*given)] = 1;
        } else {
          EXPECT_EQ(std::count(references.begin(), references.end(), 0), 0);
        }
        break;
      case 1:
        if (count > 0) pool.retain(block), ++count;
        break;
      default:
        if (count > 0) pool.release(block), --count;
    }
    ASSERT_EQ(pool.num_free(), std::count(references.begin(), references.end(), 0));
    ASSERT_EQ(pool.references(block), references[static_cast<std::size_t>(block)]);
  }
}

using Ids = std::vector<std::int32_t>;

BlockContent content_of(ContentId parent, const Ids& tokens) {
  return {parent, tokens, static_cast<int>(tokens.size())};
}

TEST(BlockPool, APublishedBlockIsFreeAndFoundUntilItIsNeeded) {
  const Ids tokens = {1, 2};
  BlockPool pool(2);
  const BlockId block = *pool.allocate();
  pool.publish(block, content_of(7, tokens));
  pool.release(block);
  EXPECT_EQ(pool.num_free(), 2);
  EXPECT_EQ(pool.num_cached(), 1);
  ASSERT_TRUE(pool.find(content_of(7, tokens)));
  pool.retain(pool.find(content_of(7, tokens))->block);  // comes back to life
  EXPECT_EQ(pool.references(block), 1);
  EXPECT_EQ(pool.num_cached(), 0);
  EXPECT_EQ(pool.num_free(), 1);
  pool.release(block);
  EXPECT_NE(*pool.allocate(), block);  // what holds nothing goes first
  EXPECT_EQ(*pool.allocate(), block);
  EXPECT_FALSE(pool.find(content_of(7, tokens)));
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_EQ(pool.allocate(), std::nullopt);
}

TEST(BlockPool, TheLeastRecentlyUsedIsEvictedFirst) {
  BlockPool pool(4);
  std::vector<Ids> tokens;
  for (BlockId block = 0; block < 4; ++block) {
    tokens.push_back({block, 100});
    ASSERT_EQ(*pool.allocate(), block);
    pool.publish(block, content_of(7, tokens.back()));
  }
  for (const BlockId block : {2, 0, 3, 1}) pool.release(block);
  pool.retain(0);  // used once more, so it is the latest
  pool.release(0);
  pool.forget(3);  // and this one holds nothing any more
  for (const BlockId expected : {3, 2, 1, 0}) EXPECT_EQ(*pool.allocate(), expected);
}

TEST(BlockPool, ABlockThatIsForgottenInUseIsFreeWithoutContents) {
  const Ids tokens = {1, 2};
  BlockPool pool(1);
  const BlockId block = *pool.allocate();
  pool.publish(block, content_of(7, tokens));
  EXPECT_THROW(pool.publish(block, content_of(7, tokens)), Error);  // two blocks of one content
  pool.forget(block);
  pool.forget(block);  // a second time is nothing
  EXPECT_FALSE(pool.find(content_of(7, tokens)));
  pool.release(block);
  EXPECT_EQ(pool.num_cached(), 0);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_THROW(pool.retain(block), Error);
}

// Against a plain list: contents are found exactly until their block is given out, in the order of release.
TEST(BlockPool, CachingAgreesWithAPlainModelOverRandomUse) {
  constexpr int kBlocks = 13;
  BlockPool pool(kBlocks);
  std::vector<int> references(kBlocks, 0);
  std::vector<std::optional<Ids>> contents(kBlocks);
  std::vector<BlockId> cached;  // oldest first
  std::mt19937_64 random(8);
  std::int32_t next_token = 0;
  for (int step = 0; step < 20000; ++step) {
    const auto block = static_cast<BlockId>(random() % kBlocks);
    const auto index = static_cast<std::size_t>(block);
    switch (random() % 5) {
      case 0:
        if (const auto given = pool.allocate()) {
          const auto at = static_cast<std::size_t>(*given);
          ASSERT_EQ(references[at], 0);
          if (contents[at]) {
            ASSERT_EQ(*given, cached.front());
            for (std::size_t i = 0; i < kBlocks; ++i)
              ASSERT_TRUE(references[i] > 0 || contents[i]) << "an empty block was left";
            cached.erase(cached.begin());
            contents[at].reset();
          }
          references[at] = 1;
        }
        break;
      case 1:
        if (references[index] == 0 && !contents[index]) break;
        if (references[index]++ == 0) std::erase(cached, block);
        pool.retain(block);
        break;
      case 2:
        if (references[index] == 0 || contents[index]) break;
        contents[index] = Ids{next_token++, block};
        pool.publish(block, content_of(7, *contents[index]));
        break;
      default:
        if (references[index] == 0) break;
        pool.release(block);
        if (--references[index] == 0 && contents[index]) cached.push_back(block);
    }
    ASSERT_EQ(pool.num_cached(), static_cast<int>(cached.size()));
    ASSERT_EQ(pool.num_free(), std::count(references.begin(), references.end(), 0));
    if (contents[index]) {
      ASSERT_EQ(pool.find(content_of(7, *contents[index]))->block, block);
    }
  }
}

}  // namespace
}  // namespace octet::kv
