#include "kv/kv_capacity.h"

#include <gtest/gtest.h>

#include <random>

namespace octet::kv {
namespace {

// Two layers in three have the window.
KvLayout layout_with(int window, int block_size = 16) {
  KvLayout layout{6, 2, 32, block_size, KvDtype::fp8_e4m3, KvDtype::fp8_e4m3};
  layout.windows = {window, window, 0, window, window, 0};
  return layout;
}

TEST(KvCapacity, WithoutWindowsABlockIsABlock) {
  const KvLayout layout{6, 2, 32, 16, KvDtype::fp8_e4m3, KvDtype::float16};
  const KvCapacity capacity(layout, {1000, 512});
  EXPECT_EQ(capacity.blocks_of_a_sequence(), 63);
  for (const std::int64_t blocks : {0, 1, 62, 63, 64, 1000000}) {
    EXPECT_EQ(capacity.bytes(blocks), blocks * layout.bytes_per_block());
    EXPECT_EQ(capacity.group_blocks(blocks), std::vector<std::int64_t>{blocks});
    EXPECT_EQ(capacity.blocks_that_fit(blocks * layout.bytes_per_block()), blocks);
    EXPECT_EQ(capacity.blocks_that_fit((blocks + 1) * layout.bytes_per_block() - 1), blocks);
  }
  EXPECT_EQ(capacity.blocks_that_fit(std::int64_t{1} << 62), KvCapacity::kMostBlocks);
}

// 4,096 tokens are 256 blocks; of a window of 100 tokens 7 + 2 are kept, and a step of 64 adds 4.
TEST(KvCapacity, AWindowedGroupGetsWhatItsSequencesHold) {
  const KvLayout layout = layout_with(100);
  const KvCapacity capacity(layout, {4096, 64});
  EXPECT_EQ(window_blocks(layout, 100), 9);
  EXPECT_EQ(sequence_blocks(layout, 100, 4096), 9);
  EXPECT_EQ(sequence_blocks(layout, 100, 17), 2);
  EXPECT_EQ(sequence_blocks(layout, 0, 4096), 256);
  EXPECT_EQ(blocks_behind_window(layout, 100, 114), 0);  // which reads from 15 on
  EXPECT_EQ(blocks_behind_window(layout, 100, 115), 1);
  EXPECT_EQ(blocks_behind_window(layout, 100, 5), 0);
  EXPECT_EQ(blocks_behind_window(layout, 0, 4000), 0);
  EXPECT_EQ(capacity.group_blocks(256), (std::vector<std::int64_t>{256, 9 + 4}));
  EXPECT_EQ(capacity.group_blocks(10 * 256), (std::vector<std::int64_t>{2560, 90 + 4}));
  EXPECT_EQ(capacity.group_blocks(10 * 256 + 1), (std::vector<std::int64_t>{2561, 99 + 4}));
  EXPECT_EQ(capacity.group_blocks(5), (std::vector<std::int64_t>{5, 5}));
  EXPECT_EQ(capacity.bytes(256), 256 * layout.bytes_per_block() / 3 + 13 * layout.bytes_per_block() * 2 / 3);
}

TEST(KvCapacity, AWindowAsLongAsTheSequencesKeepsAllOfThem) {
  const KvCapacity capacity(layout_with(4096), {4096, 64});
  EXPECT_EQ(capacity.group_blocks(256 * 3), (std::vector<std::int64_t>{768, 768}));
}

TEST(KvCapacity, WhatFitsIsTheLargestThatDoes) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    KvLayout layout = layout_with(1 + static_cast<int>(random() % 2000), 8);
    if (i % 3 == 0) layout.windows.assign(6, layout.windows[0]);
    const KvCapacity capacity(layout, {1 + static_cast<std::int64_t>(random() % 5000),
                                       1 + static_cast<std::int64_t>(random() % 600)});
    const std::int64_t bytes = static_cast<std::int64_t>(random() % 100000000);
    const std::int64_t blocks = capacity.blocks_that_fit(bytes);
    EXPECT_LE(capacity.bytes(blocks), bytes);
    if (blocks < KvCapacity::kMostBlocks) {
      EXPECT_GT(capacity.bytes(blocks + 1), bytes);
    }
  }
}

}  // namespace
}  // namespace octet::kv
