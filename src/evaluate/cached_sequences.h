// CachedSequences: feeds sequences through a model below the engine, at the caller's pace, and hands out
// logits.
//
// The cache is cut into equal parts, one a sequence. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluate/subject.h"
#include "model/batch_plan.h"

namespace octet::evaluate {

enum class Logits { none, last, all };

class CachedSequences {
 public:
  // Keeps `subject`'s model and cache. The cache must have at least a block for each of `count` sequences.
  explicit CachedSequences(const Subject& subject, int count = 1);

  struct Piece {
    int sequence;
    std::span<const std::int32_t> ids;  // not empty
    Logits logits;
  };
  // One step over these pieces, of different sequences and together at most kMostStepTokens tokens. Returns the
  // wanted logits [rows, vocab_size] in the order of the pieces, valid until the model's next step.
  std::span<float> feed(std::span<const Piece> pieces);
  std::span<float> feed(std::span<const std::int32_t> ids, Logits logits);

  // Tokens from position `tokens` on are attended to one by one, as an answer is; without it all are a prompt.
  void set_prompt_length(int sequence, int tokens) {
    prompt_lengths_[static_cast<std::size_t>(sequence)] = tokens;
  }

  // Feeds all of `ids` to one sequence in as many steps as it takes, wanting no logits.
  void fill(int sequence, std::span<const std::int32_t> ids);

  // Tokens that a sequence has in the cache, and those that it can have.
  int length(int sequence = 0) const { return lengths_[static_cast<std::size_t>(sequence)]; }
  int capacity() const { return blocks_each_ * cache_.layout().block_size; }

 private:
  model::Model& model_;
  kv::KvCache& cache_;
  kernels::AttentionMath math_;
  Dtype dtype_;
  int blocks_each_;
  std::vector<int> lengths_;                  // [sequences]
  std::vector<std::int32_t> prompt_lengths_;  // [sequences]
  model::BatchPlan plan_;
};

}  // namespace octet::evaluate
