#include "engine/scheduler.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/error.h"

namespace octet::engine {

namespace {

int most_tokens(const Sequence& sequence) {
  return sequence.needs_prompt_logits() ? std::min(sequence.remaining(), kMostPromptLogits)
                                        : sequence.remaining();
}

}  // namespace

std::pair<int, int> ScheduledChunk::prompt_logit_positions() const {
  if (!sequence->needs_prompt_logits()) return {0, 0};
  const int begin = std::max(sequence->computed, static_cast<int>(sequence->prompt_logprobs.size()));
  const int end = std::min(sequence->computed + num_tokens, static_cast<int>(sequence->prompt_size) - 1);
  return {begin, std::max(begin, end)};
}

Scheduler::Scheduler(kv::KvCache& cache, SchedulerLimits limits)
    : pool_(cache.pool()),
      limits_(limits),
      block_size_(cache.layout().block_size),
      prefix_cache_(cache, limits.prefix_caching) {
  OCTET_CHECK(limits_.max_num_seqs > 0 && limits_.max_num_batched_tokens > 0);
}

Scheduler::~Scheduler() { remove_all(); }

void Scheduler::add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

namespace {

using Owner = std::unique_ptr<Sequence>;

bool is_of(const Owner& sequence, RequestId id) {
  return id >= sequence->id && id <= sequence->id + static_cast<RequestId>(sequence->siblings.size());
}

// The first sibling takes over what was computed of the prompt.
Owner succeed(Sequence& sequence) {
  Owner heir = std::move(sequence.siblings.front());
  sequence.siblings.erase(sequence.siblings.begin());
  heir->siblings = std::move(sequence.siblings);
  heir->computed = sequence.computed;
  heir->blocks = std::move(sequence.blocks);
  heir->contents = std::move(sequence.contents);
  heir->cached = sequence.cached;
  heir->met = sequence.met;
  heir->resumed = sequence.resumed;
  heir->prompt_logprobs = std::move(sequence.prompt_logprobs);
  return heir;
}

}  // namespace

bool Scheduler::remove(RequestId id) {
  const auto take_from = [&](auto& queue) {
    const auto it =
        std::find_if(queue.begin(), queue.end(), [id](const Owner& each) { return is_of(each, id); });
    if (it == queue.end()) return false;
    auto& siblings = (*it)->siblings;
    if ((*it)->id == id && siblings.empty()) {
      end(**it);  // what waits holds no blocks
      queue.erase(it);
    } else if ((*it)->id == id) {
      *it = succeed(**it);
    } else {
      return std::erase_if(siblings, [id](const Owner& each) { return each->id == id; }) > 0;
    }
    return true;
  };
  return take_from(running_) || take_from(waiting_);
}

void Scheduler::remove_all() {
  for (const auto& sequence : running_) end(*sequence);
  running_.clear();
  waiting_.clear();
  chunks_.clear();
  copies_.clear();
}

std::span<const ScheduledChunk> Scheduler::schedule() {
  chunks_.clear();
  copies_.clear();
  // The siblings of one request may be more than a step takes.
  while (num_running() > limits_.max_num_seqs) preempt_youngest();
  int budget = limits_.max_num_batched_tokens;
  schedule_decodes(budget);
  admit();
  grant_prefills(budget);
  schedule_prefills();
  std::sort(chunks_.begin(), chunks_.end(),
            [](const ScheduledChunk& a, const ScheduledChunk& b) { return a.sequence->id < b.sequence->id; });
  OCTET_CHECK(!chunks_.empty() || (running_.empty() && waiting_.empty()));
  return chunks_;
}

// Preemption shortens running_ from its end, behind i.
void Scheduler::schedule_decodes(int& budget) {
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
    running_[i]->granted = 0;
    if (running_[i]->remaining() == 1) schedule(*running_[i], 1, budget);
  }
}

void Scheduler::admit() {
  while (!waiting_.empty() && may_start(*waiting_.front())) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    prefix_cache_.extend(*running_.back());
  }
}

// Whether there is a place for the sequence and its siblings, and whether all known tokens of all running ones
// and of this one fit at once, with a block to spare for each: one that starts into an almost full cache would
// be preempted again before it gave anything back.
bool Scheduler::may_start(const Sequence& sequence) const {
  if (running_.empty()) return true;
  int places = 1 + static_cast<int>(sequence.siblings.size());
  int blocks = blocks_for(sequence.size()) + static_cast<int>(sequence.siblings.size());
  for (const auto& other : running_) {
    const int siblings = static_cast<int>(other->siblings.size());
    places += 1 + siblings;
    blocks += 1 + siblings + std::max(0, blocks_for(other->size()) - static_cast<int>(other->blocks.size()));
  }
  if (places > limits_.max_num_seqs) return false;
  if (blocks <= pool_.num_free()) return true;
  const PrefixCache::Match match = prefix_cache_.match(sequence);
  return blocks - match.blocks + match.free_blocks <= pool_.num_free();
}

// Shares the step's tokens among those that have more than one to compute.
void Scheduler::grant_prefills(int budget) {
  prefilling_.clear();
  for (const auto& sequence : running_) {
    sequence->granted = 0;
    const bool decodes = std::any_of(chunks_.begin(), chunks_.end(), [&](const ScheduledChunk& chunk) {
      return chunk.sequence == sequence.get();
    });
    if (decodes || budget == 0) continue;
    prefix_cache_.extend(*sequence);  // somebody may have computed its next blocks in the meantime
    prefilling_.push_back(sequence.get());
  }
  if (prefilling_.empty()) return;
  Sequence* oldest = prefilling_.front();
  oldest->granted = std::min(most_tokens(*oldest), (budget + 1) / 2);
  budget -= oldest->granted;
  std::stable_sort(prefilling_.begin(), prefilling_.end(),
                   [](const Sequence* a, const Sequence* b) { return a->remaining() < b->remaining(); });
  for (Sequence* sequence : prefilling_) {
    if (sequence != oldest && is_computed_beside(*sequence)) continue;
    const int more = std::min(most_tokens(*sequence) - sequence->granted, budget);
    sequence->granted += more;
    budget -= more;
  }
}

// Whether another one computes the very block that this one goes on with: in the next step it is there for
// both.
bool Scheduler::is_computed_beside(const Sequence& sequence) const {
  return std::any_of(prefilling_.begin(), prefilling_.end(), [&](const Sequence* other) {
    const auto next = static_cast<int>(other->contents.size() + 1) * block_size_;
    return other != &sequence && other->granted > 0 && other->computed + other->granted >= next &&
           prefix_cache_.have_same_next_block(sequence, *other);
  });
}

void Scheduler::schedule_prefills() {
  int budget = limits_.max_num_batched_tokens;  // the grants have shared it out
  for (std::size_t i = 0; i < running_.size(); ++i)
    if (running_[i]->granted > 0) schedule(*running_[i], running_[i]->granted, budget);
}

void Scheduler::schedule(Sequence& sequence, int num_tokens, int& budget) {
  num_tokens = take_blocks(sequence, num_tokens);
  if (num_tokens == 0) return;
  chunks_.push_back({&sequence, num_tokens});
  budget -= num_tokens;
}

// Takes blocks for the sequence's next tokens, from younger ones where the pool is empty. Returns for how
// many tokens there are blocks: num_tokens, or fewer (even 0) where the sequence is itself the youngest;
// it keeps what it has until an older one needs it.
int Scheduler::take_blocks(Sequence& sequence, int num_tokens) {
  if (!unshare_block_to_write(sequence)) return 0;
  const auto needed = static_cast<std::size_t>(blocks_for(sequence.computed + num_tokens));
  while (sequence.blocks.size() < needed) {
    if (const auto block = allocate_for(sequence)) {
      sequence.blocks.push_back(*block);
    } else {
      const int held = static_cast<int>(sequence.blocks.size()) * block_size_;
      return std::min(num_tokens, held - sequence.computed);
    }
  }
  return num_tokens;
}

// Copy on write. False where there is no block for the copy.
bool Scheduler::unshare_block_to_write(Sequence& sequence) {
  const auto index = static_cast<std::size_t>(sequence.computed / block_size_);
  if (index >= sequence.blocks.size() || pool_.references(sequence.blocks[index]) == 1) return true;
  const auto copy = allocate_for(sequence);
  if (!copy) return false;
  kv::BlockId& block = sequence.blocks[index];
  if (pool_.references(block) == 1) {  // those it was shared with had to give way
    pool_.release(*copy);
    return true;
  }
  copies_.push_back({block, *copy});
  pool_.release(block);
  block = *copy;
  return true;
}

// A block for the sequence, if need be one that the youngest gave up for it; nothing where it is the youngest.
std::optional<kv::BlockId> Scheduler::allocate_for(const Sequence& sequence) {
  for (;;) {
    if (const auto block = pool_.allocate()) return block;
    if (running_.back().get() == &sequence) return std::nullopt;
    preempt_youngest();
  }
}

void Scheduler::preempt_youngest() {
  std::unique_ptr<Sequence> youngest = std::move(running_.back());
  running_.pop_back();
  std::erase_if(chunks_, [&](const ScheduledChunk& chunk) { return chunk.sequence == youngest.get(); });
  free_blocks(*youngest);
  youngest->computed = 0;
  youngest->granted = 0;
  youngest->resumed = true;
  waiting_.push_front(std::move(youngest));
  ++num_preemptions_;
}

void Scheduler::advance(const ScheduledChunk& chunk) {
  chunk.sequence->computed += chunk.num_tokens;
  prefix_cache_.publish(*chunk.sequence);
}

std::vector<Sequence*> Scheduler::fork(Sequence& sequence) {
  std::vector<Sequence*> started;
  if (sequence.siblings.empty()) return started;
  std::vector<Owner> siblings = std::move(sequence.siblings);
  sequence.siblings.clear();
  for (const Owner& sibling : siblings) {
    sibling->computed = sequence.computed;
    sibling->blocks = sequence.blocks;
    sibling->contents = sequence.contents;
    sibling->met = true;
    sibling->num_prompt_logprobs = -1;  // the first one has them
    for (const kv::BlockId block : sibling->blocks) pool_.retain(block);
    started.push_back(sibling.get());
  }
  const auto it = std::find_if(running_.begin(), running_.end(),
                               [&](const Owner& each) { return each.get() == &sequence; });
  OCTET_CHECK(it != running_.end());
  running_.insert(it + 1, std::make_move_iterator(siblings.begin()), std::make_move_iterator(siblings.end()));
  return started;
}

void Scheduler::free_blocks(Sequence& sequence) {
  // From the last on: the pool's stack keeps the order of a fresh pool, and of what stays cached the end of a
  // text is evicted before its beginning, which alone can be found without it.
  for (auto block = sequence.blocks.rbegin(); block != sequence.blocks.rend(); ++block) pool_.release(*block);
  sequence.blocks.clear();
  sequence.contents.clear();
}

void Scheduler::end(Sequence& sequence) {
  prefix_cache_.forget_generated(sequence);
  free_blocks(sequence);
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
    const int first_row = plan.query_start[plan.query_start.size() - 2] - sequence.computed;
    const auto [begin, end] = chunk.prompt_logit_positions();
    for (int position = begin; position < end; ++position) plan.logits_rows.push_back(first_row + position);
    if (chunk.completes()) plan.logits_rows.push_back(plan.num_tokens() - 1);
  }
}

}  // namespace octet::engine
