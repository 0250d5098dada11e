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

}  // namespace
}  // namespace octet::kv
