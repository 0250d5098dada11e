#include "evaluate/cached_sequences.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace octet::evaluate {

CachedSequences::CachedSequences(const Subject& subject, int count)
    : model_(*subject.model),
      cache_(*subject.cache),
      math_(subject.math),
      dtype_(subject.dtype),
      blocks_each_(subject.cache->pool().num_blocks() / count),
      lengths_(static_cast<std::size_t>(count), 0),
      prompt_lengths_(static_cast<std::size_t>(count), std::numeric_limits<std::int32_t>::max()) {
  OCTET_CHECK(blocks_each_ > 0);
}

std::span<float> CachedSequences::feed(std::span<const Piece> pieces) {
  plan_.clear();
  plan_.max_blocks = blocks_each_;
  const int block_size = cache_.layout().block_size;
  for (const Piece& piece : pieces) {
    int& length = lengths_[static_cast<std::size_t>(piece.sequence)];
    OCTET_CHECK(!piece.ids.empty() && length + static_cast<int>(piece.ids.size()) <= capacity());
    const std::int32_t first_block = piece.sequence * blocks_each_;
    for (const std::int32_t id : piece.ids) {
      if (piece.logits == Logits::all) plan_.logits_rows.push_back(plan_.num_tokens());
      plan_.token_ids.push_back(id);
      plan_.positions.push_back(length);
      plan_.slot_mapping.push_back(static_cast<std::int64_t>(first_block) * block_size + length);
      ++length;
    }
    if (piece.logits == Logits::last) plan_.logits_rows.push_back(plan_.num_tokens() - 1);
    plan_.query_start.push_back(plan_.num_tokens());
    plan_.prompt_lengths.push_back(prompt_lengths_[static_cast<std::size_t>(piece.sequence)]);
    for (std::int32_t block = 0; block < blocks_each_; ++block)
      plan_.block_tables.push_back(first_block + block);
  }
  // Another subject may have run the model since.
  model_.set_attention_math(math_);
  model_.set_dtype(dtype_);
  return model_.forward(plan_, cache_);
}

std::span<float> CachedSequences::feed(std::span<const std::int32_t> ids, Logits logits) {
  const Piece piece[] = {{0, ids, logits}};
  return feed(piece);
}

void CachedSequences::fill(int sequence, std::span<const std::int32_t> ids) {
  while (!ids.empty()) {
    const auto count = std::min<std::size_t>(ids.size(), kMostStepTokens);
    const Piece piece[] = {{sequence, ids.first(count), Logits::none}};
    feed(piece);
    ids = ids.subspan(count);
  }
}

}  // namespace octet::evaluate
