#include "engine/prefix_cache.h"

#include <algorithm>

#include "kv/kv_capacity.h"

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

int PrefixCache::blocks_behind(int group, std::size_t blocks) const {
  return static_cast<int>(kv::blocks_behind_window(cache_.layout(),
                                                   cache_.groups()[static_cast<std::size_t>(group)].window,
                                                   static_cast<std::int64_t>(blocks) * block_size()));
}

namespace {

// What the other groups call the contents that the first one has given this name.
kv::BlockContent named(kv::ContentId content) { return {content, {}, 0}; }

}  // namespace

// The longest run behind which every group can go on; the blocks before `first` are the sequence's already.
PrefixCache::Found PrefixCache::find(const Sequence& sequence, std::size_t first) const {
  Found found{.contents = {}, .blocks = std::vector<std::vector<kv::BlockId>>(cache_.groups().size())};
  std::vector<int> behind_missing(cache_.groups().size(), 0);  // the block after the last that a group lacks
  kv::ContentId parent = first == 0 ? cache_.content_seed() : sequence.contents[first - 1];
  std::size_t length = 0;
  for (std::size_t index = first; index < most_blocks(sequence); ++index) {
    const auto named_block = cache_.pool().find(content(sequence, index, parent));
    if (!named_block) break;
    parent = named_block->content;
    found.contents.push_back(parent);
    found.blocks[0].push_back(named_block->block);
    bool complete = true;
    for (int group = 1; group < num_groups(); ++group) {
      const auto at = static_cast<std::size_t>(group);
      const auto block = cache_.pool(group).find(named(parent));
      found.blocks[at].push_back(block ? block->block : kNone);
      if (!block) behind_missing[at] = static_cast<int>(index) + 1;
      complete = complete && blocks_behind(group, index + 1) >= behind_missing[at];
    }
    if (complete) length = found.contents.size();
  }
  found.contents.resize(length);
  for (std::vector<kv::BlockId>& blocks : found.blocks) blocks.resize(length);
  return found;
}

void PrefixCache::extend(Sequence& sequence) {
  if (!enabled_ || sequence.needs_prompt_logits()) return;
  const bool first_time = !sequence.met;
  sequence.met = true;
  if (first_time) counts_.queries += static_cast<std::int64_t>(sequence.prompt_size);
  const std::size_t before = sequence.contents.size();
  if (before * static_cast<std::size_t>(block_size()) != static_cast<std::size_t>(sequence.computed)) return;
  const Found found = find(sequence, before);
  const std::size_t end = before + found.contents.size();
  if (end == before) return;
  sequence.contents.reserve(end);
  for (BlockTable& table : sequence.tables) table.blocks.reserve(end);  // from here on, nothing may fail
  for (int group = 0; group < num_groups(); ++group)
    take(sequence, group, before, found.blocks[static_cast<std::size_t>(group)]);
  sequence.contents.insert(sequence.contents.end(), found.contents.begin(), found.contents.end());
  const auto hits = static_cast<int>(found.contents.size()) * block_size();
  sequence.computed += hits;
  if (sequence.resumed) return;
  sequence.cached += hits;
  counts_.hits += hits;
}

// Blocks [first, first + found.size()) of one group.
void PrefixCache::take(Sequence& sequence, int group, std::size_t first,
                       const std::vector<kv::BlockId>& found) {
  kv::BlockPool& pool = cache_.pool(group);
  BlockTable& table = sequence.tables[static_cast<std::size_t>(group)];
  const std::size_t end = first + found.size();
  const auto behind = static_cast<std::size_t>(blocks_behind(group, end));
  const std::size_t begin = std::max(first, behind);  // of those that are read
  for (std::size_t i = begin; i < end; ++i) pool.retain(found[i - first]);
  // Blocks that were taken for these positions, and not written yet, are not needed any more.
  for (std::size_t i = first; i < std::min(end, table.blocks.size()); ++i) pool.release(table.blocks[i]);
  if (table.blocks.size() < end) table.blocks.resize(end);
  std::fill(table.blocks.begin() + static_cast<std::ptrdiff_t>(first),
            table.blocks.begin() + static_cast<std::ptrdiff_t>(begin), 0);
  std::copy(found.begin() + static_cast<std::ptrdiff_t>(begin - first), found.end(),
            table.blocks.begin() + static_cast<std::ptrdiff_t>(begin));
  give_back(sequence, group, std::min(first, behind));
  table.num_freed = std::max(table.num_freed, behind);
}

PrefixCache::Match PrefixCache::match(const Sequence& sequence) const {
  Match match{.blocks = 0,
              .behind = std::vector<int>(cache_.groups().size(), 0),
              .free_blocks = std::vector<int>(cache_.groups().size(), 0)};
  if (!enabled_ || sequence.needs_prompt_logits()) return match;
  const Found found = find(sequence, 0);
  match.blocks = static_cast<int>(found.contents.size());
  for (int group = 0; group < num_groups(); ++group) {
    const auto at = static_cast<std::size_t>(group);
    match.behind[at] = blocks_behind(group, found.contents.size());
    match.free_blocks[at] = static_cast<int>(
        std::count_if(found.blocks[at].begin() + match.behind[at], found.blocks[at].end(),
                      [&](kv::BlockId block) { return cache_.pool(group).references(block) == 0; }));
  }
  return match;
}

void PrefixCache::publish(Sequence& sequence) {
  if (!enabled_) return;
  const auto full = static_cast<std::size_t>(sequence.computed / block_size());
  while (sequence.contents.size() < full) {
    const std::size_t index = sequence.contents.size();
    const kv::ContentId name =
        publish(0, sequence.tables.front().blocks[index], content(sequence, index, last_content(sequence)));
    for (int group = 1; group < num_groups(); ++group)
      publish(group, sequence.tables[static_cast<std::size_t>(group)].blocks[index], named(name));
    sequence.contents.push_back(name);
  }
}

kv::ContentId PrefixCache::publish(int group, kv::BlockId& block, const kv::BlockContent& held) {
  kv::BlockPool& pool = cache_.pool(group);
  const auto found = pool.find(held);
  if (!found) return pool.publish(block, held);
  pool.retain(found->block);
  pool.release(block);
  block = found->block;
  return found->content;
}

void PrefixCache::forget_generated(const Sequence& sequence) {
  for (int group = 0; group < num_groups(); ++group) {
    const BlockTable& table = sequence.tables[static_cast<std::size_t>(group)];
    for (std::size_t i = std::max(whole_prompt_blocks(sequence), table.num_freed); i < sequence.contents.size();
         ++i)
      forget_if_alone(group, table.blocks[i]);
  }
}

void PrefixCache::give_back(Sequence& sequence, int group, std::size_t end) {
  BlockTable& table = sequence.tables[static_cast<std::size_t>(group)];
  for (; table.num_freed < end; ++table.num_freed) {
    kv::BlockId& block = table.blocks[table.num_freed];
    // Who is preempted goes on at the end of what it had, not here.
    if (table.num_freed >= whole_prompt_blocks(sequence)) forget_if_alone(group, block);
    cache_.pool(group).release(block);
    block = 0;
  }
}

void PrefixCache::forget_if_alone(int group, kv::BlockId block) {
  if (cache_.pool(group).references(block) == 1) cache_.pool(group).forget(block);
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
