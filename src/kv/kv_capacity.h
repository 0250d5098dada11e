// KvCapacity: how the memory of a cache is shared out among its groups of layers, and what fits in it.
//
// A cache is measured in blocks of a group without a window. A group with one holds no more of a sequence than
// its window and what one step adds, so it gets what the sequences of max_model_len tokens that fit beside it
// can hold.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/kv_layout.h"

namespace octet::kv {

// What the sequences are like that a cache is made for.
struct KvDemand {
  std::int64_t max_model_len = 0;           // tokens of the longest
  std::int64_t max_num_batched_tokens = 0;  // that one step computes, of all sequences together
};

// Blocks that a sequence of any length holds at most in a group of that window (above 0) between two steps,
// with one more for its next token.
std::int64_t window_blocks(const KvLayout& layout, int window);
// Blocks of a sequence, counted from its first, that the token at `position` and those behind it do not read.
std::int64_t blocks_behind_window(const KvLayout& layout, int window, std::int64_t position);
// Of a sequence of so many tokens, and of a group with or without (0) a window.
std::int64_t sequence_blocks(const KvLayout& layout, int window, std::int64_t tokens);

class KvCapacity {
 public:
  // Copies what it needs of the layout.
  KvCapacity(const KvLayout& layout, KvDemand demand);

  // Blocks that hold one sequence of max_model_len.
  std::int64_t blocks_of_a_sequence() const { return blocks_of_a_sequence_; }
  // Blocks of each group, [groups], in a cache of `blocks`.
  std::vector<std::int64_t> group_blocks(std::int64_t blocks) const;
  // Bytes of a cache of `blocks`: the same as blocks * bytes_per_block where no layer has a window.
  std::int64_t bytes(std::int64_t blocks) const;
  // The largest cache of no more than `bytes`, in blocks; 0 to kMostBlocks.
  std::int64_t blocks_that_fit(std::int64_t bytes) const;
  static constexpr std::int64_t kMostBlocks = 0x7fffffff;  // block ids are of 32 bits

 private:
  struct Group {
    int window;
    std::int64_t block_bytes;
    std::int64_t blocks_of_a_sequence;
  };
  std::int64_t blocks_of(const Group& group, std::int64_t blocks) const;

  std::vector<Group> groups_;
  std::int64_t blocks_of_a_sequence_;
  std::int64_t blocks_of_a_step_;
};

}  // namespace octet::kv
