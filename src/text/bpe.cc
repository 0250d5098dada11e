#include "text/bpe.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "base/error.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

// Covers the byte-level alphabet and most alphabetic scripts.
constexpr char32_t kLowCharacters = 0x800;

}  // namespace

void MergeTable::reserve(std::size_t merges) {
  std::size_t slots = 16;
  while (slots < 2 * merges) slots *= 2;
  slots_.assign(slots, Slot{});
}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  std::size_t slot = static_cast<std::size_t>((pair * 0x9E3779B97F4A7C15u) >> 32) & (slots_.size() - 1);
  while (slots_[slot].pair != pair && slots_[slot].pair != kEmpty) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void MergeTable::insert(std::int32_t left, std::int32_t right, Merge merge) {
  const std::uint64_t pair = static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  slots_[slot_of(pair)] = {pair, merge};
}

const MergeTable::Merge* MergeTable::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  const Slot& slot = slots_[slot_of(pair)];
  return slot.pair == pair ? &slot.merge : nullptr;
}

std::optional<std::int32_t> Bpe::find_character(std::string_view piece) const {
  std::size_t position = 0;
  const char32_t c = next_code_point(piece, position);
  if (c >= kLowCharacters || position != piece.size()) return find(piece);
  const std::int32_t id = characters_[c];
  if (id < 0) return std::nullopt;
  return id;
}

bool Bpe::append_byte_tokens(std::string_view piece, std::vector<Symbol>& symbols) const {
  for (const char byte : piece) {
    if (bytes_[static_cast<unsigned char>(byte)] < 0) return false;
  }
  for (const char byte : piece) symbols.push_back({bytes_[static_cast<unsigned char>(byte)], 0, 0});
  return true;
}

// One symbol for each character: its token, else its bytes' tokens, else the unknown token, else nothing.
std::vector<Bpe::Symbol> Bpe::symbols_of(std::string_view word) const {
  if (word.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) / 2) {
    throw Error(ErrorCode::invalid_argument, "a word of more than 1 GiB cannot be tokenized", context_);
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  bool unknown = false;  // an unknown token waits: more unknown characters may fuse with it
  std::string decorated;
  for (std::size_t position = 0; position < word.size();) {
    const std::size_t begin = position;
    next_code_point(word, position);
    std::string_view piece = word.substr(begin, position - begin);
    if ((begin > 0 && !prefix_.empty()) || (position == word.size() && !suffix_.empty())) {
      decorated.assign(begin > 0 ? prefix_ : std::string());
      decorated += piece;
      if (position == word.size()) decorated += suffix_;
      piece = decorated;
    }
    if (const std::optional<std::int32_t> id = find_character(piece)) {
      if (unknown) symbols.push_back({*unk_id_, 0, 0});
      unknown = false;
      symbols.push_back({*id, 0, 0});
      continue;
    }
    if (byte_fallback_ && append_byte_tokens(piece, symbols)) continue;
    if (!unk_token_) continue;
    if (!unk_id_) {
      throw Error(ErrorCode::invalid_file,
                  "the text needs the unk_token \"" + *unk_token_ + "\", which is not in the vocabulary",
                  context_);
    }
    if (unknown && !fuse_unk_) symbols.push_back({*unk_id_, 0, 0});
    unknown = true;
  }
  if (unknown) symbols.push_back({*unk_id_, 0, 0});
  return symbols;
}

void Bpe::join(std::vector<Symbol>& symbols) const {
  struct Candidate {
    std::uint32_t rank;
    std::int32_t position;
    std::int32_t result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  const auto count = static_cast<std::int32_t>(symbols.size());
  std::vector<Candidate> candidates;
  candidates.reserve(symbols.size());
  for (std::int32_t k = 0; k < count; ++k) {
    Symbol& symbol = symbols[static_cast<std::size_t>(k)];
    symbol.previous = k - 1;
    symbol.next = k + 1 < count ? k + 1 : -1;
    if (symbol.next < 0) break;
    const auto* merge = merges_.find(symbol.id, symbols[static_cast<std::size_t>(k) + 1].id);
    if (merge != nullptr) candidates.push_back({merge->rank, k, merge->result});
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>{},
                                                                               std::move(candidates));

  const auto offer = [&](std::int32_t position) {
    const Symbol& left = symbols[static_cast<std::size_t>(position)];
    const auto* merge = merges_.find(left.id, symbols[static_cast<std::size_t>(left.next)].id);
    if (merge != nullptr) queue.push({merge->rank, position, merge->result});
  };
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<std::size_t>(best.position)];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    // The pair may have changed since it was queued.
    const auto* merge = merges_.find(left.id, right.id);
    if (merge == nullptr || merge->result != best.result) continue;
    left.id = best.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].previous = best.position;
    if (left.previous >= 0) offer(left.previous);
    if (left.next >= 0) offer(best.position);
  }
}

std::size_t Bpe::part_end(std::string_view word) const {
  if (!mark_begins_parts_) return word.size();
  std::size_t position = 0;
  while (word.substr(position).starts_with(kSpaceMark)) position += kSpaceMark.size();
  return std::min(word.find(kSpaceMark, position), word.size());
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.empty()) return;
  if (ignore_merges_) {
    if (const std::optional<std::int32_t> id = find(word)) {
      ids.push_back(*id);
      return;
    }
  }
  std::vector<Symbol> symbols = symbols_of(word);
  join(symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

}  // namespace octet::text
