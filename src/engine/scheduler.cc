#include "engine/scheduler.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "kv/kv_capacity.h"

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
    : cache_(cache),
      limits_(limits),
      block_size_(cache.layout().block_size),
      prefix_cache_(cache, limits.prefix_caching) {
  OCTET_CHECK(limits_.max_num_seqs > 0 && limits_.max_num_batched_tokens > 0);
}

Scheduler::~Scheduler() { remove_all(); }

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  sequence->tables.resize(cache_.groups().size());
  for (const auto& sibling : sequence->siblings) sibling->tables.resize(cache_.groups().size());
  waiting_.push_back(std::move(sequence));
}

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
  heir->tables = std::move(sequence.tables);
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

// The blocks of one sequence in one group from now on: `held` now, of which `behind` its window are given back,
// what blocks_for() says while it grows, and at its end, `left` tokens from now, `freed` less than now.
struct Growth {
  int size;
  int held;
  int behind;
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
  const PrefixCache::Match match = prefix_cache_.match(sequence);
  for (int group = 0; group < num_groups(); ++group)
    if (!fits(sequence, match, group)) return false;
  return true;
}

// The same for the blocks of one group.
bool Scheduler::fits(const Sequence& sequence, const PrefixCache::Match& match, int group) const {
  const int window = cache_.groups()[static_cast<std::size_t>(group)].window;
  std::vector<Growth> growths;
  const auto add = [&](const Sequence& each, int held, int behind, int freed) {
    const int left = std::min(each.max_tokens - each.num_generated(), limits_.lookahead);
    growths.push_back({each.size(), held, behind, freed, left});
    // Siblings share the full blocks of the prompt, as long as their windows reach them.
    const int full = each.size() / block_size_;
    growths.insert(growths.end(), each.siblings.size(), {each.size(), full, window > 0 ? full : 0, 0, left});
  };
  for (const auto& other : running_) {
    const BlockTable& table = other->tables[static_cast<std::size_t>(group)];
    const auto held = static_cast<int>(table.blocks.size()), behind = static_cast<int>(table.num_freed);
    add(*other, held, behind, std::max(0, held - std::max(behind, other->cached / block_size_)));
  }
  const int behind = match.behind[static_cast<std::size_t>(group)];
  const int found_free = match.free_blocks[static_cast<std::size_t>(group)];
  add(sequence, match.blocks, behind, found_free);
  const int free = cache_.pool(group).num_free() - found_free;
  const auto blocks_kept = [&](int tokens) {
    return static_cast<int>(kv::sequence_blocks(cache_.layout(), window, tokens));
  };
  // The most are held just before one ends; most end no sooner than the lookahead, all at once.
  std::vector<int> ends;
  for (const Growth& each : growths) ends.push_back(each.left);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  // Behind a window blocks are given back, so that what is needed is the lesser of all and of what is kept,
  // with the tokens of a step.
  return std::all_of(ends.begin(), ends.end(), [&](int next_end) {
    int all = 0, kept = blocks_for(limits_.max_num_batched_tokens);
    for (const Growth& each : growths) {
      const bool stays = next_end <= each.left;
      const int size = each.size + next_end - 1;
      all += stays ? std::max(0, blocks_for(size) - each.held) : -each.freed;
      kept += stays ? std::max(0, blocks_kept(size) - each.held + each.behind) : -each.freed;
    }
    return (window > 0 ? std::min(all, kept) : all) <= free;
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

// Takes blocks for the sequence's next tokens, from younger ones where a pool is empty. Returns for how
// many tokens there are blocks: num_tokens, or fewer (even 0) where the sequence is itself the youngest;
// it keeps what it has until an older one needs it.
int Scheduler::take_blocks(Sequence& sequence, int num_tokens) {
  if (!unshare_blocks_to_write(sequence)) return 0;
  for (int group = 0; group < num_groups(); ++group) {
    std::vector<kv::BlockId>& blocks = sequence.tables[static_cast<std::size_t>(group)].blocks;
    const auto needed = static_cast<std::size_t>(blocks_for(sequence.computed + num_tokens));
    blocks.reserve(needed);  // once a block is taken, nothing may fail before it stands there
    while (blocks.size() < needed) {
      const auto block = allocate_for(sequence, group);
      if (!block) break;
      blocks.push_back(*block);
    }
    const int held = static_cast<int>(blocks.size()) * block_size_;
    num_tokens = std::min(num_tokens, held - sequence.computed);
  }
  return num_tokens;
}

// Copy on write. False where there is no block for a copy.
bool Scheduler::unshare_blocks_to_write(Sequence& sequence) {
  for (int group = 0; group < num_groups(); ++group)
    if (!unshare_block_to_write(sequence, group)) return false;
  return true;
}

bool Scheduler::unshare_block_to_write(Sequence& sequence, int group) {
  kv::BlockPool& pool = cache_.pool(group);
  std::vector<kv::BlockId>& blocks = sequence.tables[static_cast<std::size_t>(group)].blocks;
  const auto index = static_cast<std::size_t>(sequence.computed / block_size_);
  if (index >= blocks.size() || pool.references(blocks[index]) == 1) return true;
  copies_.reserve(copies_.size() + 1);
  const auto copy = allocate_for(sequence, group);
  if (!copy) return false;
  kv::BlockId& block = blocks[index];
  if (pool.references(block) == 1) {  // those it was shared with had to give way
    pool.release(*copy);
    return true;
  }
  copies_.push_back({group, block, *copy});
  pool.release(block);
  block = *copy;
  return true;
}

// A block for the sequence, if need be one that the youngest gave up for it; nothing where it is the youngest.
std::optional<kv::BlockId> Scheduler::allocate_for(const Sequence& sequence, int group) {
  for (;;) {
    if (const auto block = cache_.pool(group).allocate()) return block;
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
  free_blocks_behind_windows(*chunk.sequence);
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
    share_blocks(sequence, *sibling);
    running_.insert(place_of(*sibling, running_), std::move(sibling));
  }
  return forked;
}

void Scheduler::share_blocks(const Sequence& sequence, Sequence& sibling) {
  sibling.tables = sequence.tables;
  for (int group = 0; group < num_groups(); ++group) {
    const BlockTable& table = sibling.tables[static_cast<std::size_t>(group)];
    for (std::size_t i = table.num_freed; i < table.blocks.size(); ++i)
      cache_.pool(group).retain(table.blocks[i]);
  }
}

void Scheduler::free_blocks(Sequence& sequence) {
  // From the last on: the pool's stack keeps the order of a fresh pool, and of what stays cached the end of a
  // text is evicted before its beginning, which alone can be found without it.
  for (int group = 0; group < num_groups(); ++group) {
    BlockTable& table = sequence.tables[static_cast<std::size_t>(group)];
    for (std::size_t i = table.blocks.size(); i > table.num_freed; --i)
      cache_.pool(group).release(table.blocks[i - 1]);
    table = {};
  }
  sequence.contents.clear();
}

void Scheduler::free_blocks_behind_windows(Sequence& sequence) {
  for (int group = 0; group < num_groups(); ++group) {
    const int window = cache_.groups()[static_cast<std::size_t>(group)].window;
    prefix_cache_.give_back(
        sequence, group,
        static_cast<std::size_t>(kv::blocks_behind_window(cache_.layout(), window, sequence.computed)));
  }
}

void Scheduler::end(Sequence& sequence) {
  prefix_cache_.forget_generated(sequence);
  free_blocks(sequence);
}

namespace {

// The slots and the block tables of one group, behind those of the groups before it.
void add_group(std::span<const ScheduledChunk> chunks, int block_size, std::size_t group,
               model::BatchPlan& plan) {
  std::size_t row = plan.block_tables.size();
  plan.block_tables.resize(row + chunks.size() * static_cast<std::size_t>(plan.max_blocks), 0);
  for (const auto& [sequence, num_tokens] : chunks) {
    const std::vector<kv::BlockId>& blocks = sequence->tables[group].blocks;
    std::copy(blocks.begin(), blocks.end(), plan.block_tables.begin() + static_cast<std::ptrdiff_t>(row));
    row += static_cast<std::size_t>(plan.max_blocks);
    for (int position = sequence->computed; position < sequence->computed + num_tokens; ++position) {
      const std::int64_t block = blocks[static_cast<std::size_t>(position / block_size)];
      plan.slot_mapping.push_back(block * block_size + position % block_size);
    }
  }
}

}  // namespace

void fill_batch_plan(std::span<const ScheduledChunk> chunks, int block_size, model::BatchPlan& plan) {
  plan.clear();
  const std::size_t groups = chunks.empty() ? 0 : chunks.front().sequence->tables.size();
  for (const ScheduledChunk& chunk : chunks)
    for (const BlockTable& table : chunk.sequence->tables)
      plan.max_blocks = std::max(plan.max_blocks, static_cast<std::int32_t>(table.blocks.size()));
  for (std::size_t group = 0; group < groups; ++group) add_group(chunks, block_size, group, plan);

  for (const ScheduledChunk& chunk : chunks) {
    const Sequence& sequence = *chunk.sequence;
    for (int position = sequence.computed; position < sequence.computed + chunk.num_tokens; ++position) {
      plan.token_ids.push_back(sequence.tokens[static_cast<std::size_t>(position)]);
      plan.positions.push_back(position);
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
