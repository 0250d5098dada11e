#include "engine/scheduler.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/error.h"

namespace octet::engine {

Scheduler::Scheduler(kv::BlockPool& pool, SchedulerLimits limits) : pool_(pool), limits_(limits) {
  OCTET_CHECK(limits_.max_num_seqs > 0 && limits_.max_num_batched_tokens > 0 && limits_.block_size > 0);
}

Scheduler::~Scheduler() { remove_all(); }

void Scheduler::add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

bool Scheduler::remove(RequestId id) {
  const auto has_id = [id](const auto& sequence) { return sequence->id == id; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), has_id); it != running_.end()) {
    free_blocks(**it);
    running_.erase(it);
    return true;
  }
  const auto it = std::find_if(waiting_.begin(), waiting_.end(), has_id);
  if (it == waiting_.end()) return false;
  waiting_.erase(it);  // what waits holds no blocks
  return true;
}

void Scheduler::remove_all() {
  for (const auto& sequence : running_) free_blocks(*sequence);
  running_.clear();
  waiting_.clear();
}

std::span<const ScheduledChunk> Scheduler::schedule() {
  chunks_.clear();
  int budget = limits_.max_num_batched_tokens;
  const auto give = [&](Sequence& sequence) {
    const int num_tokens = take_blocks(sequence, std::min(sequence.remaining(), budget));
    if (num_tokens == 0) return;
    chunks_.push_back({&sequence, num_tokens});
    budget -= num_tokens;
  };
  // Decodes come first by themselves: while a prompt is unfinished it uses up the budget or the free blocks,
  // so nothing younger starts. Preemption shortens running_ from its end, behind i.
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) give(*running_[i]);
  while (budget > 0 && num_running() < limits_.max_num_seqs && !waiting_.empty() &&
         may_start(*waiting_.front())) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    give(*running_.back());
  }
  OCTET_CHECK(!chunks_.empty() || (running_.empty() && waiting_.empty()));
  return chunks_;
}

// Whether all known tokens of the sequence fit at once, with a block to spare for every running sequence:
// one that starts into an almost full cache would be preempted again before it gave anything back.
bool Scheduler::may_start(const Sequence& sequence) const {
  return blocks_for(sequence.size()) + num_running() <= pool_.num_free();
}

// Takes blocks for the sequence's next tokens, from younger ones where the pool is empty. Returns for how
// many tokens there are blocks: num_tokens, or fewer (even 0) where the sequence is itself the youngest;
// it keeps what it has until an older one needs it.
int Scheduler::take_blocks(Sequence& sequence, int num_tokens) {
  const auto needed = static_cast<std::size_t>(blocks_for(sequence.computed + num_tokens));
  while (sequence.blocks.size() < needed) {
    if (const auto block = pool_.allocate()) {
      sequence.blocks.push_back(*block);
    } else if (running_.back().get() != &sequence) {
      preempt_youngest();
    } else {
      const int held = static_cast<int>(sequence.blocks.size()) * limits_.block_size;
      return std::min(num_tokens, held - sequence.computed);
    }
  }
  return num_tokens;
}

void Scheduler::preempt_youngest() {
  std::unique_ptr<Sequence> youngest = std::move(running_.back());
  running_.pop_back();
  free_blocks(*youngest);
  youngest->computed = 0;
  waiting_.push_front(std::move(youngest));
  ++num_preemptions_;
}

void Scheduler::free_blocks(Sequence& sequence) {
  // The pool is a stack: the last one back is the first one out, so the order of a fresh pool is kept.
  for (auto block = sequence.blocks.rbegin(); block != sequence.blocks.rend(); ++block) pool_.release(*block);
  sequence.blocks.clear();
}

void fill_batch_plan(std::span<const ScheduledChunk> chunks, int block_size, model::BatchPlan& plan) {
  plan.clear();
  for (const auto& [sequence, num_tokens] : chunks)
    plan.max_blocks = std::max(plan.max_blocks, static_cast<std::int32_t>(sequence->blocks.size()));
  plan.block_tables.resize(chunks.size() * static_cast<std::size_t>(plan.max_blocks), 0);

  auto row = plan.block_tables.begin();
  for (const ScheduledChunk& chunk : chunks) {
    const Sequence& sequence = *chunk.sequence;
    std::copy(sequence.blocks.begin(), sequence.blocks.end(), row);
    row += plan.max_blocks;
    for (int position = sequence.computed; position < sequence.computed + chunk.num_tokens; ++position) {
      const std::int64_t block = sequence.blocks[static_cast<std::size_t>(position / block_size)];
      plan.token_ids.push_back(sequence.tokens[static_cast<std::size_t>(position)]);
      plan.positions.push_back(position);
      plan.slot_mapping.push_back(block * block_size + position % block_size);
    }
    plan.query_start.push_back(plan.num_tokens());
    plan.prompt_lengths.push_back(static_cast<std::int32_t>(sequence.prompt_size));
    if (chunk.completes()) plan.logits_rows.push_back(plan.num_tokens() - 1);
  }
}

}  // namespace octet::engine
