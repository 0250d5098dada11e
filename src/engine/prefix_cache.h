// PrefixCache: finds the full blocks that a sequence begins with, and makes those that it computes findable.
//
// What is shared is equal to the last bit to what the sequence would have computed itself: a block is found
// only where the same tokens stand at the same positions and each met the same kernel (kv/prefix_index.h), so
// an answer does not depend on what was cached. The prompt of a chat's second turn holds the first answer as a
// prompt; those blocks were decoded the first time and are computed once more.
//
// A sequence can go on behind a prefix where every group of layers has what is read from there on: all of its
// blocks, or those of the window before its end. The first group names the contents, by a chain from the first
// block on; the others know their blocks by that name. (vLLM's hybrid KV cache manager finds them alike.)
// Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/sequence.h"
#include "kv/kv_cache.h"

namespace octet::engine {

// Since the start, of every request once, preempted ones not again.
struct PrefixCacheCounts {
  std::int64_t queries = 0;  // prompt tokens looked up
  std::int64_t hits = 0;     // prompt tokens found
};

class PrefixCache {
 public:
  PrefixCache(kv::KvCache& cache, bool enabled) : cache_(cache), enabled_(enabled) {}

  // Adds the blocks that follow those that the sequence has and that are cached, as long as its computed part
  // ends with a block. At least its last token is left to compute, since somebody has to give its logits.
  void extend(Sequence& sequence);
  // What extend() would find for a sequence that has no blocks: how many full ones, counted from the first, and
  // in each group those that lie behind its window, and those that are free: starting the sequence takes them
  // out of the free ones.
  struct Match {
    int blocks = 0;
    std::vector<int> behind = {};       // [groups]
    std::vector<int> free_blocks = {};  // [groups]
  };
  Match match(const Sequence& sequence) const;

  // Makes the full blocks of the computed part findable. Where somebody else has published one of them, the
  // sequence takes that block instead of its own, so that a content is kept once.
  void publish(Sequence& sequence);
  // Takes back what the sequence alone can look for: blocks that hold generated tokens.
  void forget_generated(const Sequence& sequence);
  // Gives back the sequence's blocks before `end` in a group whose window has left them behind. They can be
  // found until their place is needed, but for those that hold generated tokens.
  void give_back(Sequence& sequence, int group, std::size_t end);

  // Whether both have the same computed blocks and go on with the same one, which `a` could take from `b`.
  bool have_same_next_block(const Sequence& a, const Sequence& b) const;
  bool enabled() const { return enabled_; }
  const PrefixCacheCounts& counts() const { return counts_; }

 private:
  // Blocks that follow the first so many of a sequence, in all groups.
  struct Found {
    std::vector<kv::ContentId> contents;
    std::vector<std::vector<kv::BlockId>> blocks;  // [groups][contents]; kNone where nobody reads it
  };
  static constexpr kv::BlockId kNone = -1;

  int num_groups() const { return static_cast<int>(cache_.groups().size()); }
  int blocks_behind(int group, std::size_t blocks) const;
  Found find(const Sequence& sequence, std::size_t first) const;
  void take(Sequence& sequence, int group, std::size_t first, const std::vector<kv::BlockId>& found);
  kv::ContentId publish(int group, kv::BlockId& block, const kv::BlockContent& held);
  void forget_if_alone(int group, kv::BlockId block);
  std::size_t whole_prompt_blocks(const Sequence& sequence) const {
    return sequence.prompt_size / static_cast<std::size_t>(block_size());
  }
  int block_size() const { return cache_.layout().block_size; }
  kv::BlockContent content(const Sequence& sequence, std::size_t block, kv::ContentId parent) const;
  kv::ContentId last_content(const Sequence& sequence) const;
  std::size_t most_blocks(const Sequence& sequence) const;

  kv::KvCache& cache_;
  bool enabled_;
  PrefixCacheCounts counts_;
};

}  // namespace octet::engine
