#include "kv/block_pool.h"

#include "base/error.h"

namespace octet::kv {

namespace {

std::int32_t checked(std::int32_t num_blocks) {
  OCTET_CHECK(num_blocks > 0);
  return num_blocks;
}

}  // namespace

BlockPool::BlockPool(std::int32_t num_blocks) : index_(checked(num_blocks)) {
  references_.assign(static_cast<std::size_t>(num_blocks), 0);
  free_.reserve(static_cast<std::size_t>(num_blocks));
  // Rising order on a fresh pool, so that the first sequences get contiguous memory.
  for (BlockId block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
  ring_.assign(static_cast<std::size_t>(num_blocks) + 1, {num_blocks, num_blocks});
}

std::optional<BlockId> BlockPool::allocate() {
  BlockId block;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else if (num_cached_ > 0) {
    block = link(num_blocks()).after;
    remove_cached(block);
    index_.erase(block);
  } else {
    return std::nullopt;
  }
  references_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void BlockPool::retain(BlockId block) {
  const bool in_use = references(block) > 0;
  OCTET_CHECK(in_use || index_.contains(block));
  if (!in_use) remove_cached(block);
  ++references_[static_cast<std::size_t>(block)];
}

void BlockPool::release(BlockId block) {
  OCTET_CHECK(references(block) > 0);
  if (--references_[static_cast<std::size_t>(block)] > 0) return;
  if (index_.contains(block))
    append_cached(block);
  else
    free_.push_back(block);
}

int BlockPool::references(BlockId block) const {
  OCTET_CHECK(block >= 0 && block < num_blocks());
  return references_[static_cast<std::size_t>(block)];
}

ContentId BlockPool::publish(BlockId block, const BlockContent& content) {
  OCTET_CHECK(references(block) > 0 && !index_.find(content));
  return index_.insert(block, content);
}

void BlockPool::forget(BlockId block) {
  if (!index_.contains(block)) return;
  if (references(block) == 0) {
    remove_cached(block);
    free_.push_back(block);
  }
  index_.erase(block);
}

void BlockPool::append_cached(BlockId block) {
  const BlockId end = num_blocks();
  link(block) = {link(end).before, end};
  link(link(end).before).after = block;
  link(end).before = block;
  ++num_cached_;
}

void BlockPool::remove_cached(BlockId block) {
  link(link(block).before).after = link(block).after;
  link(link(block).after).before = link(block).before;
  --num_cached_;
}

}  // namespace octet::kv
