#include "kv/prefix_index.h"

#include <algorithm>

#include "base/error.h"

namespace octet::kv {

namespace {

// Splitmix64's finisher over everything that find() compares.
std::uint64_t hash_of(const BlockContent& content) {
  std::uint64_t hash = content.parent;
  const auto mix = [&](std::uint64_t value) {
    hash = (hash ^ value) + 0x9e3779b97f4a7c15u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    hash ^= hash >> 31;
  };
  mix(static_cast<std::uint64_t>(content.prefilled));
  for (const std::int32_t token : content.tokens) mix(static_cast<std::uint32_t>(token));
  return hash;
}

}  // namespace

PrefixIndex::PrefixIndex(std::int32_t num_blocks) : entries_(static_cast<std::size_t>(num_blocks)) {}

std::optional<IndexedBlock> PrefixIndex::find(const BlockContent& content) const {
  const auto [begin, end] = blocks_.equal_range(hash_of(content));
  for (auto it = begin; it != end; ++it) {
    const Entry& entry = entries_[static_cast<std::size_t>(it->second)];
    if (entry.parent == content.parent && entry.prefilled == content.prefilled &&
        std::equal(entry.tokens.begin(), entry.tokens.end(), content.tokens.begin(), content.tokens.end()))
      return IndexedBlock{it->second, entry.id};
  }
  return std::nullopt;
}

ContentId PrefixIndex::insert(BlockId block, const BlockContent& content) {
  OCTET_CHECK(!contains(block));
  const std::uint64_t hash = hash_of(content);
  entries_[static_cast<std::size_t>(block)] = {
      ++last_id_, hash, content.parent, content.prefilled, {content.tokens.begin(), content.tokens.end()}};
  blocks_.emplace(hash, block);
  return last_id_;
}

void PrefixIndex::erase(BlockId block) {
  Entry& entry = entries_[static_cast<std::size_t>(block)];
  if (entry.id == kNone) return;
  const auto [begin, end] = blocks_.equal_range(entry.hash);
  const auto it = std::find_if(begin, end, [&](const auto& pair) { return pair.second == block; });
  OCTET_CHECK(it != end);
  blocks_.erase(it);
  entry = {};
}

}  // namespace octet::kv
