#include "engine/prefix_cache.h"

#include <algorithm>

namespace octet::engine {

kv::BlockContent PrefixCache::content(const Sequence& sequence, std::size_t block, kv::ContentId parent) const {
  const auto size = static_cast<std::size_t>(block_size());
  const auto prefilled = std::clamp<std::ptrdiff_t>(
      static_cast<std::ptrdiff_t>(sequence.prompt_size) - static_cast<std::ptrdiff_t>(block * size), 0,
      block_size());
  return {parent, std::span(sequence.tokens).subspan(block * size, size), static_cast<int>(prefilled)};
}

kv::ContentId PrefixCache::last_content(const Sequence& sequence) const {
  return sequence.contents.empty() ? cache_.content_seed() : sequence.contents.back();
}

// Full blocks that leave at least the last token.
std::size_t PrefixCache::most_blocks(const Sequence& sequence) const {
  return static_cast<std::size_t>((sequence.size() - 1) / block_size());
}

void PrefixCache::extend(Sequence& sequence) {
  if (!enabled_ || sequence.needs_prompt_logits()) return;
  const bool first_time = !sequence.met;
  sequence.met = true;
  if (first_time) counts_.queries += static_cast<std::int64_t>(sequence.prompt_size);
  const auto size = static_cast<std::size_t>(block_size());
  const std::size_t before = sequence.contents.size();
  sequence.tables.front().blocks.reserve(most_blocks(sequence));  // once a block is retained, nothing may fail
  sequence.contents.reserve(most_blocks(sequence));
  while (sequence.contents.size() < most_blocks(sequence) &&
         sequence.contents.size() * size == static_cast<std::size_t>(sequence.computed)) {
    const auto found = cache_.pool().find(content(sequence, sequence.contents.size(), last_content(sequence)));
    if (!found) break;
    cache_.pool().retain(found->block);
    // Blocks that were taken for these positions, and not written yet, are not needed any more.
    std::vector<kv::BlockId>& blocks = sequence.tables.front().blocks;
    if (blocks.size() > sequence.contents.size()) {
      kv::BlockId& own = blocks[sequence.contents.size()];
      cache_.pool().release(own);
      own = found->block;
    } else {
      blocks.push_back(found->block);
    }
    sequence.contents.push_back(found->content);
    sequence.computed += block_size();
  }
  if (sequence.resumed) return;
  const auto hits = static_cast<int>((sequence.contents.size() - before) * size);
  sequence.cached += hits;
  counts_.hits += hits;
}

PrefixCache::Match PrefixCache::match(const Sequence& sequence) const {
  Match match;
  if (!enabled_ || sequence.needs_prompt_logits()) return match;
  kv::ContentId parent = cache_.content_seed();
  for (std::size_t block = 0; block < most_blocks(sequence); ++block) {
    const auto found = cache_.pool().find(content(sequence, block, parent));
    if (!found) break;
    parent = found->content;
    ++match.blocks;
    if (cache_.pool().references(found->block) == 0) ++match.free_blocks;
  }
  return match;
}

void PrefixCache::publish(Sequence& sequence) {
  if (!enabled_) return;
  kv::BlockPool& pool = cache_.pool();
  const auto full = static_cast<std::size_t>(sequence.computed / block_size());
  while (sequence.contents.size() < full) {
    const std::size_t index = sequence.contents.size();
    kv::BlockId& block = sequence.tables.front().blocks[index];
    const kv::BlockContent held = content(sequence, index, last_content(sequence));
    if (const auto found = pool.find(held)) {
      pool.retain(found->block);
      pool.release(block);
      block = found->block;
      sequence.contents.push_back(found->content);
    } else {
      sequence.contents.push_back(pool.publish(block, held));
    }
  }
}

void PrefixCache::forget_generated(const Sequence& sequence) {
  const std::size_t whole = sequence.prompt_size / static_cast<std::size_t>(block_size());
  for (std::size_t i = whole; i < sequence.contents.size(); ++i) {
    const kv::BlockId block = sequence.tables.front().blocks[i];
    if (cache_.pool().references(block) == 1) cache_.pool().forget(block);
  }
}

bool PrefixCache::have_same_next_block(const Sequence& a, const Sequence& b) const {
  const std::size_t index = a.contents.size();
  if (!enabled_ || a.needs_prompt_logits() || b.contents.size() != index || last_content(a) != last_content(b))
    return false;
  if (index >= most_blocks(a) || index >= most_blocks(b)) return false;
  const kv::BlockContent of_a = content(a, index, 0), of_b = content(b, index, 0);
  return of_a.prefilled == of_b.prefilled &&
         std::equal(of_a.tokens.begin(), of_a.tokens.end(), of_b.tokens.begin(), of_b.tokens.end());
}

}  // namespace octet::engine
