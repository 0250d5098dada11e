// PrefixIndex: which blocks of the cache hold what, so that a prompt that begins like an earlier one finds its
// keys and values again.
//
// A full block is named by a chain: what it follows, its own tokens, and how many of them went through the
// prefill kernel (prompt positions do, generated ones go through the decode kernel, and the two differ in the
// last bits). The chain begins with the cache's content seed, which stands for its layout, dtypes and scales. A
// look-up compares all of that, not only its hash: no two texts can ever share a block by accident, nor by
// somebody's intent. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace octet::kv {

using BlockId = std::int32_t;
// Names the contents of a block and of all blocks before it; never used twice.
using ContentId = std::uint64_t;

struct BlockContent {
  ContentId parent;                      // the block before it, or the content seed of the cache
  std::span<const std::int32_t> tokens;  // [block_size]
  int prefilled;                         // the first so many of them are a prompt's
};

struct IndexedBlock {
  BlockId block;
  ContentId content;
};

class PrefixIndex {
 public:
  explicit PrefixIndex(std::int32_t num_blocks);

  std::optional<IndexedBlock> find(const BlockContent& content) const;
  // Requires that neither the block nor the content is there.
  ContentId insert(BlockId block, const BlockContent& content);
  bool contains(BlockId block) const { return entries_[static_cast<std::size_t>(block)].id != kNone; }
  // Nothing where the block is not there.
  void erase(BlockId block);

 private:
  static constexpr ContentId kNone = 0;
  struct Entry {
    ContentId id = kNone;
    std::uint64_t hash = 0;
    ContentId parent = kNone;
    int prefilled = 0;
    std::vector<std::int32_t> tokens = {};
  };

  std::vector<Entry> entries_;                              // [num_blocks]
  std::unordered_multimap<std::uint64_t, BlockId> blocks_;  // by hash
  ContentId last_id_ = kNone;
};

}  // namespace octet::kv
