// Scheduler: which tokens of which requests the next step computes, and in which blocks they stand.
//
// First come, first served: running requests stand in order of arrival, and none waits that came before one
// of them. A request takes blocks as its positions need them. When the pool is empty the youngest gives all
// of its blocks back and waits at the front of the queue with its tokens and its generator, to be computed
// again; so the oldest always goes on. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "kv/block_pool.h"
#include "model/batch_plan.h"

namespace octet::engine {

struct SchedulerLimits {
  int max_num_seqs = 0;            // sequences in one step
  int max_num_batched_tokens = 0;  // tokens in one step
  int block_size = 0;              // tokens a block
};

// The step computes positions [computed, computed + num_tokens) of the sequence.
struct ScheduledChunk {
  Sequence* sequence;
  int num_tokens;

  // Whether the step's last row is what the next token is sampled from.
  bool completes() const { return num_tokens == sequence->remaining(); }
};

class Scheduler {
 public:
  // Keeps a reference to the pool, which must be able to hold every sequence alone.
  Scheduler(kv::BlockPool& pool, SchedulerLimits limits);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Ids must rise.
  void add(std::unique_ptr<Sequence> sequence);
  // Ends a sequence and frees its blocks; false where there is none of that id.
  bool remove(RequestId id);
  void remove_all();

  // The next step's work, oldest first, with blocks for all of it. Never empty while a sequence is left.
  // Valid until the next call; advancing `computed` and appending tokens is the caller's part.
  std::span<const ScheduledChunk> schedule();

  int num_running() const { return static_cast<int>(running_.size()); }
  int num_waiting() const { return static_cast<int>(waiting_.size()); }
  std::int64_t num_preemptions() const { return num_preemptions_; }

 private:
  int blocks_for(int tokens) const { return (tokens + limits_.block_size - 1) / limits_.block_size; }
  bool may_start(const Sequence& sequence) const;
  int take_blocks(Sequence& sequence, int num_tokens);
  void preempt_youngest();
  void free_blocks(Sequence& sequence);

  kv::BlockPool& pool_;
  SchedulerLimits limits_;
  std::vector<std::unique_ptr<Sequence>> running_;  // oldest first
  std::deque<std::unique_ptr<Sequence>> waiting_;   // oldest first, all younger than those running
  std::vector<ScheduledChunk> chunks_;
  std::int64_t num_preemptions_ = 0;
};

// Writes the chunks as a plan for the model: tokens, positions, slots and block tables, and a row of logits
// for every chunk that completes().
void fill_batch_plan(std::span<const ScheduledChunk> chunks, int block_size, model::BatchPlan& plan);

}  // namespace octet::engine
