// BlockPool: which blocks of the cache are free; reference counts for blocks that sequences share.
//
// Knows nothing of memory or contents. Not thread-safe: the engine's thread owns it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace octet::kv {

using BlockId = std::int32_t;

class BlockPool {
 public:
  explicit BlockPool(std::int32_t num_blocks);

  // A free block with reference count 1, or nothing when the pool is empty (which is not an error).
  std::optional<BlockId> allocate();
  void retain(BlockId block);
  // Drops one reference; the block is free again at zero.
  void release(BlockId block);
  int references(BlockId block) const;

  std::int32_t num_blocks() const { return static_cast<std::int32_t>(references_.size()); }
  std::int32_t num_free() const { return static_cast<std::int32_t>(free_.size()); }

 private:
  std::vector<std::int32_t> references_;  // [num_blocks]
  std::vector<BlockId> free_;             // a stack: the block freed last is warm in cache
};

}  // namespace octet::kv
