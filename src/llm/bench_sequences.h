// BenchSequences: sequences in a cache that they have to themselves, driven below the engine, so that nothing
// but the model is timed, at lengths of our choice.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/kv_cache.h"
#include "llm/engine_setup.h"
#include "model/batch_plan.h"

namespace octet::llm {

// `loaded` and `cache` are kept. Sequence i owns the blocks [i * n, (i + 1) * n) of the cache, as prompts that
// come one after the other get them from a fresh pool; nothing is shared, so a step reads all that B sequences
// hold.
class BenchSequences {
 public:
  // Requires a cache of `most_sequences` times the blocks of `most_tokens`.
  BenchSequences(LoadedModel& loaded, kv::KvCache& cache, int most_sequences, int most_tokens);

  // Puts keys and values in positions [0, lengths[i]) of sequence i where there are none yet, through the
  // kernel that the model stores with. Every token gets other ones, since a cache full of equal lines might be
  // read faster than a real one.
  void fill(std::span<const int> lengths);

  // Seconds for `tokens` prompt tokens of the first sequence from position `begin`, `chunk` in a step, with
  // the last one's logits of each step.
  double prefill(int begin, int tokens, int chunk);

  // Seconds for `tokens` steps in each of which every sequence decodes a token; sequence i holds lengths[i]
  // before the first. All logits are computed, none is sampled.
  double decode(std::span<const int> lengths, int tokens);

 private:
  void begin_plan(int longest);  // sequences of up to that many tokens are added next
  void add(int sequence, int first_position, int tokens, bool prompt);
  void run();

  LoadedModel& loaded_;
  kv::KvCache& cache_;
  std::int32_t blocks_a_sequence_;
  std::vector<int> filled_;  // tokens, by sequence
  model::BatchPlan plan_;
};

}  // namespace octet::llm
