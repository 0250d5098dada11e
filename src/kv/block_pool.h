// BlockPool: which blocks of the cache are free; reference counts for blocks that sequences share; and what
// the blocks hold, so that they can be shared with sequences to come.
//
// A published block that nobody refers to any more is free, but keeps its contents until it is needed: blocks
// without contents are given out first, then the published ones, least recently used first. Knows nothing of
// memory. Not thread-safe: the engine's thread owns it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kv/prefix_index.h"

namespace octet::kv {

class BlockPool {
 public:
  explicit BlockPool(std::int32_t num_blocks);

  // A free block with reference count 1, or nothing when the pool is empty (which is not an error).
  std::optional<BlockId> allocate();
  // One reference more, of a block that is in use or published.
  void retain(BlockId block);
  // Drops one reference; the block is free again at zero.
  void release(BlockId block);
  int references(BlockId block) const;

  // The published block of that content, in use or not; retain() it before anything else is allocated.
  std::optional<IndexedBlock> find(const BlockContent& content) const { return index_.find(content); }
  // Says what a block in use holds, which must not change from now on; find() must know no other of it.
  ContentId publish(BlockId block, const BlockContent& content);
  // Takes that back, for contents that nobody will look for.
  void forget(BlockId block);

  std::int32_t num_blocks() const { return static_cast<std::int32_t>(references_.size()); }
  std::int32_t num_free() const { return static_cast<std::int32_t>(free_.size()) + num_cached_; }
  std::int32_t num_used() const { return num_blocks() - num_free(); }
  // Of those that are free, the published ones.
  std::int32_t num_cached() const { return num_cached_; }

 private:
  // Neighbours in the ring of free published blocks; the last element of the ring, beyond all blocks, is where
  // it begins and ends.
  struct Link {
    BlockId before, after;
  };

  Link& link(BlockId block) { return ring_[static_cast<std::size_t>(block)]; }
  void append_cached(BlockId block);
  void remove_cached(BlockId block);

  std::vector<std::int32_t> references_;  // [num_blocks]
  std::vector<BlockId> free_;             // a stack: the block freed last is warm in cache
  std::vector<Link> ring_;                // [num_blocks + 1], least recently used first
  std::int32_t num_cached_ = 0;
  PrefixIndex index_;
};

}  // namespace octet::kv
