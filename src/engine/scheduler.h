// Scheduler: which tokens of which requests the next step computes, and in which blocks they stand.
//
// Who comes first runs first: requests start, run and wait in order of arrival, and one starts where the blocks
// will suffice for a while. Of a request with several answers those for which there is no place wait in front
// of all others. A step's tokens go to all that decode, one each; then half of what is left to the oldest
// prompt that is not computed yet, so that it ends, and the rest to the shortest ones, so that a long prompt
// holds nobody up. A request takes blocks as its positions need them. When the pool is empty the youngest gives
// all of its blocks back and waits at the front of the queue with its tokens and its generator, to be computed
// again; so the oldest always goes on.
//
// Each group of the cache's layers (kv/kv_layout.h) has blocks of its own. Those that the group's window has
// left behind are given back after each step. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/sequence.h"
#include "kv/kv_cache.h"
#include "model/batch_plan.h"

namespace octet::engine {

struct SchedulerLimits {
  int max_num_seqs = 0;            // sequences in one step
  int max_num_batched_tokens = 0;  // tokens in one step
  bool prefix_caching = false;     // whether prompts that begin alike share blocks
  int lookahead = 128;             // tokens that all who run must be able to add before another one starts
};

// The step computes positions [computed, computed + num_tokens) of the sequence.
struct ScheduledChunk {
  Sequence* sequence;
  int num_tokens;

  // Whether the step's last row is what the next token is sampled from.
  bool completes() const { return num_tokens == sequence->remaining(); }
  // Positions [first, second) of it whose logits are wanted for the prompt's own tokens.
  std::pair<int, int> prompt_logit_positions() const;
};

// A shared block that somebody is about to write into: what it holds goes into a block of the writer's own.
struct BlockCopy {
  int group;
  kv::BlockId from;
  kv::BlockId to;
};

class Scheduler {
 public:
  // Keeps a reference to the cache, which must be able to hold every sequence alone, of a group with a window
  // as much as kv::window_blocks.
  Scheduler(kv::KvCache& cache, SchedulerLimits limits);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Ids must rise; siblings have the ids behind their sequence's.
  void add(std::unique_ptr<Sequence> sequence);
  // Ends a sequence and frees its blocks; false where there is none of that id.
  bool remove(RequestId id);
  void remove_all();

  // The next step's work, oldest first, with blocks for all of it. Never empty while a sequence is left.
  // Valid until the next call; it is for the caller to make the copies(), to compute, to advance() and to
  // append tokens.
  std::span<const ScheduledChunk> schedule();
  // To be made in this order before the step is computed.
  std::span<const BlockCopy> copies() const { return copies_; }
  // The chunk was computed: its full blocks can be shared from now on.
  void advance(const ScheduledChunk& chunk);
  // Sets the siblings of a running sequence going, whose prompt was just computed: they share its blocks, or
  // wait for a place to compute them again. Returns all of them, whose first token is known now.
  std::vector<Sequence*> fork(Sequence& sequence);

  int num_running() const { return static_cast<int>(running_.size()); }
  int num_waiting() const { return static_cast<int>(waiting_.size()); }
  std::int64_t num_preemptions() const { return num_preemptions_; }
  const PrefixCacheCounts& prefix_cache_counts() const { return prefix_cache_.counts(); }

 private:
  using Queue = std::deque<std::unique_ptr<Sequence>>;

  int num_groups() const { return static_cast<int>(cache_.groups().size()); }
  int blocks_for(int tokens) const { return (tokens + block_size_ - 1) / block_size_; }
  void admit();
  bool may_start(const Sequence& sequence) const;
  void schedule_decodes(int& budget);
  void grant_prefills(int budget);
  void schedule_prefills();
  void schedule(Sequence& sequence, int num_tokens, int& budget);
  bool is_computed_beside(const Sequence& sequence) const;
  int take_blocks(Sequence& sequence, int num_tokens);
  bool fits(const Sequence& sequence, const PrefixCache::Match& match, int group) const;
  bool unshare_blocks_to_write(Sequence& sequence);
  bool unshare_block_to_write(Sequence& sequence, int group);
  std::optional<kv::BlockId> allocate_for(const Sequence& sequence, int group);
  void preempt_youngest();
  void wait(std::unique_ptr<Sequence>&& sequence);
  void share_blocks(const Sequence& sequence, Sequence& sibling);
  void free_blocks(Sequence& sequence);
  void free_blocks_behind_windows(Sequence& sequence);
  void end(Sequence& sequence);

  kv::KvCache& cache_;
  SchedulerLimits limits_;
  int block_size_;
  PrefixCache prefix_cache_;
  std::vector<std::unique_ptr<Sequence>> running_;  // oldest first
  Queue waiting_;                                   // oldest first
  std::vector<Sequence*> prefilling_;  // of the step at hand, those that have more than a token to go
  std::vector<ScheduledChunk> chunks_;
  std::vector<BlockCopy> copies_;
  std::int64_t num_preemptions_ = 0;
};

// Writes the chunks as a plan for the model: tokens, positions, slots and block tables of each group, and a row
// of logits for every prompt_logit_positions() and behind them for every chunk that completes().
void fill_batch_plan(std::span<const ScheduledChunk> chunks, int block_size, model::BatchPlan& plan);

}  // namespace octet::engine
