#include "kv/block_pool.h"

#include "base/error.h"

namespace octet::kv {

BlockPool::BlockPool(std::int32_t num_blocks) {
  OCTET_CHECK(num_blocks > 0);
  references_.assign(static_cast<std::size_t>(num_blocks), 0);
  free_.reserve(static_cast<std::size_t>(num_blocks));
  // Rising order on a fresh pool, so that the first sequences get contiguous memory.
  for (BlockId block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

std::optional<BlockId> BlockPool::allocate() {
  if (free_.empty()) return std::nullopt;
  const BlockId block = free_.back();
  free_.pop_back();
  references_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void BlockPool::retain(BlockId block) {
  OCTET_CHECK(references(block) > 0);
  ++references_[static_cast<std::size_t>(block)];
}

void BlockPool::release(BlockId block) {
  OCTET_CHECK(references(block) > 0);
  if (--references_[static_cast<std::size_t>(block)] == 0) free_.push_back(block);
}

int BlockPool::references(BlockId block) const {
  OCTET_CHECK(block >= 0 && block < num_blocks());
  return references_[static_cast<std::size_t>(block)];
}

}  // namespace octet::kv
