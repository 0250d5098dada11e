// PrefixCache: finds the full blocks that a sequence begins with, and makes those that it computes findable.
//
// What is shared is equal to the last bit to what the sequence would have computed itself: a block is found
// only where the same tokens stand at the same positions and each met the same kernel (kv/prefix_index.h), so
// an answer does not depend on what was cached. The prompt of a chat's second turn holds the first answer as a
// prompt; those blocks were decoded the first time and are computed once more. Not thread-safe.
#pragma once

#include <cstdint>

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
  // Requires that the cache has a single group of layers where it is enabled.
  PrefixCache(kv::KvCache& cache, bool enabled) : cache_(cache), enabled_(enabled) {}

  // Adds the blocks that follow those that the sequence has and that are cached, as long as its computed part
  // ends with a block. At least its last token is left to compute, since somebody has to give its logits.
  void extend(Sequence& sequence);
  // How many full blocks, counted from the first, extend() would find for a sequence that has none, and how
  // many of those are free: starting it takes them out of the free ones.
  struct Match {
    int blocks = 0;
    int free_blocks = 0;
  };
  Match match(const Sequence& sequence) const;

  // Makes the full blocks of the computed part findable. Where somebody else has published one of them, the
  // sequence takes that block instead of its own, so that a content is kept once.
  void publish(Sequence& sequence);
  // Takes back what the sequence alone can look for: blocks that hold generated tokens.
  void forget_generated(const Sequence& sequence);

  // Whether both have the same computed blocks and go on with the same one, which `a` could take from `b`.
  bool have_same_next_block(const Sequence& a, const Sequence& b) const;
  bool enabled() const { return enabled_; }
  const PrefixCacheCounts& counts() const { return counts_; }

 private:
  int block_size() const { return cache_.layout().block_size; }
  kv::BlockContent content(const Sequence& sequence, std::size_t block, kv::ContentId parent) const;
  kv::ContentId last_content(const Sequence& sequence) const;
  std::size_t most_blocks(const Sequence& sequence) const;

  kv::KvCache& cache_;
  bool enabled_;
  PrefixCacheCounts counts_;
};

}  // namespace octet::engine
