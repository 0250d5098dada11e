#include "kv/kv_capacity.h"

#include <algorithm>

namespace octet::kv {

// Positions (p - window, p] touch one block more than they fill where they begin inside of one.
std::int64_t window_blocks(const KvLayout& layout, int window) { return layout.blocks_for(window - 1) + 2; }

// The token attends to positions (position - window, position].
std::int64_t blocks_behind_window(const KvLayout& layout, int window, std::int64_t position) {
  return window == 0 ? 0 : std::max<std::int64_t>(0, position - window + 1) / layout.block_size;
}

std::int64_t sequence_blocks(const KvLayout& layout, int window, std::int64_t tokens) {
  const std::int64_t all = layout.blocks_for(tokens);
  return window > 0 ? std::min(all, window_blocks(layout, window)) : all;
}

KvCapacity::KvCapacity(const KvLayout& layout, KvDemand demand)
    : blocks_of_a_sequence_(layout.blocks_for(demand.max_model_len)),
      blocks_of_a_step_(layout.blocks_for(demand.max_num_batched_tokens)) {
  for (const KvGroup& group : layout.groups())
    groups_.push_back({group.window, layout.bytes_per_block(group),
                       sequence_blocks(layout, group.window, demand.max_model_len)});
}

std::int64_t KvCapacity::blocks_of(const Group& group, std::int64_t blocks) const {
  if (group.window == 0) return blocks;
  const std::int64_t sequences = (blocks + blocks_of_a_sequence_ - 1) / blocks_of_a_sequence_;
  return std::min(blocks, sequences * group.blocks_of_a_sequence + blocks_of_a_step_);
}

std::vector<std::int64_t> KvCapacity::group_blocks(std::int64_t blocks) const {
  std::vector<std::int64_t> each;
  for (const Group& group : groups_) each.push_back(blocks_of(group, blocks));
  return each;
}

std::int64_t KvCapacity::bytes(std::int64_t blocks) const {
  std::int64_t bytes = 0;
  for (const Group& group : groups_) bytes += blocks_of(group, blocks) * group.block_bytes;
  return bytes;
}

// bytes() never falls.
std::int64_t KvCapacity::blocks_that_fit(std::int64_t bytes_given) const {
  std::int64_t grows_always = 0;  // bytes a block of the groups without a window
  for (const Group& group : groups_) grows_always += group.window == 0 ? group.block_bytes : 0;
  std::int64_t fits = 0, too_many = kMostBlocks + 1;
  if (grows_always > 0) too_many = std::min(kMostBlocks, bytes_given / grows_always) + 1;
  while (too_many - fits > 1) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (bytes(middle) <= bytes_given ? fits : too_many) = middle;
  }
  return fits;
}

}  // namespace octet::kv
