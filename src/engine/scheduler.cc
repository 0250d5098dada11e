#include "engine/scheduler.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
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

// Where it stands in a queue in the order of arrival.
template <typename Queue>
auto place_of(const Sequence& sequence, Queue& queue) {
  return std::upper_bound(queue.begin(), queue.end(), sequence.id,
                          [](RequestId id, const Owner& each) { return id < each->id; });
}

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
    Sequence& started = *waiting_.front();
    // Siblings for which there was no place may be older than some that run.
    running_.insert(place_of(started, running_), std::move(waiting_.front()));
    waiting_.pop_front();
    prefix_cache_.extend(started);
  }
}

namespace {

// The blocks of one sequence from now on: `held` now, what blocks_for() says while it grows, and at its end,
// `left` tokens from now, `freed` less than now.
struct Growth {
  int size;
  int held;
  int freed;
  int left;
};

}  // namespace

// Whether there is a place for the sequence, and whether all that run and this one have blocks for their tokens
// while they grow: what is computed again after a preemption costs as much as a prompt, so who starts shall be
// able to stay. Not until max_tokens, long before which an answer may end: much of the cache would stay empty.
bool Scheduler::may_start(const Sequence& sequence) const {
  if (running_.empty()) return true;
  const auto places = [](int sum, const Owner& each) {
    return sum + 1 + static_cast<int>(each->siblings.size());
  };
  if (std::accumulate(running_.begin(), running_.end(), 0, places) >= limits_.max_num_seqs) return false;
  std::vector<Growth> growths;
  const auto add = [&](const Sequence& each, int held, int freed) {
    const int left = std::min(each.max_tokens - each.num_generated(), limits_.lookahead);
    growths.push_back({each.size(), held, freed, left});
    // Siblings share the full blocks of the prompt.
    growths.insert(growths.end(), each.siblings.size(), {each.size(), each.size() / block_size_, 0, left});
  };
  for (const auto& other : running_) {
    const auto held = static_cast<int>(other->blocks.size());
    add(*other, held, std::max(0, held - other->cached / block_size_));
  }
  const PrefixCache::Match match = prefix_cache_.match(sequence);
  add(sequence, match.blocks, match.free_blocks);
  const int free = pool_.num_free() - match.free_blocks;
  // The most are held just before one ends.
  return std::all_of(growths.begin(), growths.end(), [&](const Growth& next_end) {
    int needed = 0;
    for (const Growth& each : growths)
      needed += next_end.left <= each.left ? std::max(0, blocks_for(each.size + next_end.left - 1) - each.held)
                                           : -each.freed;
    return needed <= free;
  });
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
  sequence.blocks.reserve(needed);  // once a block is taken, nothing may fail before it stands there
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
  copies_.reserve(copies_.size() + 1);
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
  Sequence& youngest = *running_.back();
  std::erase_if(chunks_, [&](const ScheduledChunk& chunk) { return chunk.sequence == &youngest; });
  free_blocks(youngest);
  youngest.computed = 0;
  youngest.granted = 0;
  youngest.resumed = true;
  wait(std::move(running_.back()));
  running_.pop_back();
  ++num_preemptions_;
}

void Scheduler::wait(std::unique_ptr<Sequence>&& sequence) {
  const auto place = waiting_.insert(place_of(*sequence, waiting_), nullptr);
  *place = std::move(sequence);
}

void Scheduler::advance(const ScheduledChunk& chunk) {
  chunk.sequence->computed += chunk.num_tokens;
  prefix_cache_.publish(*chunk.sequence);
}

std::vector<Sequence*> Scheduler::fork(Sequence& sequence) {
  std::vector<Sequence*> forked;
  if (sequence.siblings.empty()) return forked;
  std::vector<Owner> siblings = std::exchange(sequence.siblings, {});
  forked.reserve(siblings.size());
  running_.reserve(running_.size() + siblings.size());
  for (Owner& sibling : siblings) {
    sibling->met = true;
    sibling->num_prompt_logprobs = -1;  // the first one has them
    forked.push_back(sibling.get());
    if (num_running() >= limits_.max_num_seqs) {
      sibling->resumed = true;  // and computed again, what the prefix cache keeps of it excepted
      wait(std::move(sibling));
      continue;
    }
    sibling->computed = sequence.computed;
    sibling->contents = sequence.contents;
    sibling->blocks = sequence.blocks;
    for (const kv::BlockId block : sibling->blocks) pool_.retain(block);
    running_.insert(place_of(*sibling, running_), std::move(sibling));
  }
  return forked;
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
