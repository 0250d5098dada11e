#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace octet::engine {
namespace {

using Ids = std::vector<std::int32_t>;

std::unique_ptr<Sequence> sequence_of(RequestId id, Ids prompt, int max_tokens = 100) {
  return std::make_unique<Sequence>(id, Request{.prompt = std::move(prompt), .max_tokens = max_tokens});
}

Ids random_prompt(std::mt19937_64& random, std::size_t size) {
  Ids prompt(size);
  for (auto& id : prompt) id = static_cast<std::int32_t>(random() % 1000);
  return prompt;
}

// The memory is not used: the fake model has its own.
kv::KvLayout layout_of(int block_size) { return {1, 1, 8, block_size, KvDtype::float32, KvDtype::float32}; }

std::unique_ptr<Sequence> siblings_of(RequestId id, const Ids& prompt, int max_tokens, int n) {
  auto sequence = sequence_of(id, prompt, max_tokens);
  for (int i = 1; i < n; ++i) {
    sequence->siblings.push_back(sequence_of(id + i, prompt, max_tokens));
    sequence->siblings.back()->min_tokens = i;  // the simulation adds it to the first token
  }
  return sequence;
}

// The next token of the fake model below: depends on every token before it and on their order.
std::int32_t next_token(const Ids& tokens) {
  std::uint64_t hash = 99;
  for (const auto id : tokens) hash = (hash ^ static_cast<std::uint64_t>(id)) * 0x9e3779b97f4a7c15u;
  return static_cast<std::int32_t>((hash >> 40) % 1000);
}

// A model whose cache holds token ids: a wrong slot, position or block table, or a block that two sequences
// use, gives a wrong token. Reads exactly what the plan says and nothing of the scheduler's state.
class FakeModel {
 public:
  FakeModel(int num_blocks, int block_size)
      : block_size_(block_size), slots_(static_cast<std::size_t>(num_blocks * block_size), -1) {}

  void copy_block(const BlockCopy& copy) {
    const auto block = [&](kv::BlockId id) {
      return slots_.begin() + static_cast<std::ptrdiff_t>(id) * block_size_;
    };
    std::copy_n(block(copy.from), block_size_, block(copy.to));
  }

  Ids forward(const model::BatchPlan& plan) {
    for (std::size_t t = 0; t < plan.token_ids.size(); ++t)
      slots_.at(static_cast<std::size_t>(plan.slot_mapping[t])) = plan.token_ids[t];
    Ids sampled;
    for (const auto row : plan.logits_rows) {
      const auto after = std::upper_bound(plan.query_start.begin(), plan.query_start.end(), row);
      const auto sequence = after - plan.query_start.begin() - 1;
      Ids tokens;
      for (int position = 0; position <= plan.positions[static_cast<std::size_t>(row)]; ++position)
        tokens.push_back(slots_.at(slot(plan, sequence, position)));
      sampled.push_back(next_token(tokens));
    }
    return sampled;
  }

 private:
  std::size_t slot(const model::BatchPlan& plan, std::ptrdiff_t sequence, int position) const {
    const auto entry = static_cast<std::size_t>(sequence * plan.max_blocks + position / block_size_);
    return static_cast<std::size_t>(plan.block_tables.at(entry) * block_size_ + position % block_size_);
  }

  int block_size_;
  Ids slots_;
};

class Simulation {
 public:
  Simulation(int num_blocks, int block_size, SchedulerLimits limits)
      : cache(layout_of(block_size), num_blocks, kv::KvScales::ones(1, 1)),
        pool(cache.pool()),
        scheduler(cache, limits),
        limits_(limits),
        block_size_(block_size),
        model_(num_blocks, block_size) {}

  // One step; checks the plan against the limits and ends sequences that have all of their tokens.
  void step() {
    const auto chunks = scheduler.schedule();
    for (const BlockCopy& copy : scheduler.copies()) model_.copy_block(copy);
    fill_batch_plan(chunks, block_size_, plan);
    ASSERT_LE(plan.num_tokens(), limits_.max_num_batched_tokens);
    ASSERT_LE(plan.num_seqs(), limits_.max_num_seqs);
    ASSERT_LE(scheduler.num_running(), limits_.max_num_seqs);
    ASSERT_EQ(plan.slot_mapping.size(), plan.token_ids.size());
    ASSERT_EQ(plan.block_tables.size(), chunks.size() * static_cast<std::size_t>(plan.max_blocks));
    for (std::size_t i = 1; i < chunks.size(); ++i)
      ASSERT_LT(chunks[i - 1].sequence->id, chunks[i].sequence->id);

    const Ids sampled = model_.forward(plan);
    std::size_t row = 0;
    for (const ScheduledChunk& chunk : chunks) {
      Sequence& sequence = *chunk.sequence;
      scheduler.advance(chunk);
      if (sequence.remaining() > 0) continue;
      const std::int32_t token = sampled.at(row++);
      std::vector<Sequence*> grown = scheduler.fork(sequence);
      grown.push_back(&sequence);  // siblings begin with other tokens, so that they write other ones
      for (Sequence* each : grown) {
        each->tokens.push_back(each->num_generated() == 0 ? token + each->min_tokens : token);
        if (each->num_generated() < each->max_tokens) continue;
        finished[each->id] = each->tokens;
        cached[each->id] = each->cached;
        scheduler.remove(each->id);
      }
    }
    ASSERT_EQ(row, sampled.size());
  }

  bool busy() const { return scheduler.num_running() + scheduler.num_waiting() > 0; }

  kv::KvCache cache;
  kv::BlockPool& pool;
  Scheduler scheduler;
  model::BatchPlan plan;
  std::map<RequestId, Ids> finished;
  std::map<RequestId, int> cached;  // tokens found in the prefix cache, of those that finished

 private:
  SchedulerLimits limits_;
  int block_size_;
  FakeModel model_;
};

Ids expected_tokens(Ids tokens, int generated) {
  for (int i = 0; i < generated; ++i) tokens.push_back(next_token(tokens));
  return tokens;
}

// From one that preempts often to one that hardly does.
int any_lookahead(std::mt19937_64& random) { return std::vector<int>{1, 1, 20, 128}[random() % 4]; }

TEST(Scheduler, EverySequenceGetsItsTokensWhateverTheLimits) {
  std::mt19937_64 random(11);
  std::int64_t preemptions = 0;
  for (int round = 0; round < 120; ++round) {
    const int block_size = std::vector<int>{8, 16, 32}[random() % 3];
    constexpr int kLongest = 150;
    const int least_blocks = (kLongest + block_size - 1) / block_size;
    const SchedulerLimits limits{.max_num_seqs = 1 + static_cast<int>(random() % 12),
                                 .max_num_batched_tokens = 1 + static_cast<int>(random() % 40),
                                 .lookahead = any_lookahead(random)};
    Simulation simulation(least_blocks + static_cast<int>(random() % 20), block_size, limits);
    std::map<RequestId, Ids> expected;
    for (RequestId id = 0; id < 25; ++id) {
      const Ids prompt = random_prompt(random, 1 + random() % 90);
      const int generated = 1 + static_cast<int>(random() % (kLongest - 90));
      expected[id] = expected_tokens(prompt, generated);
      simulation.scheduler.add(sequence_of(id, prompt, generated));
      if (random() % 2 == 0) {
        ASSERT_NO_FATAL_FAILURE(simulation.step());
      }
    }
    for (int steps = 0; simulation.busy(); ++steps) {
      ASSERT_LT(steps, 100000) << "round " << round << " does not end";
      ASSERT_NO_FATAL_FAILURE(simulation.step());
    }
    ASSERT_EQ(simulation.finished, expected) << "round " << round;
    ASSERT_EQ(simulation.pool.num_free(), simulation.pool.num_blocks());
    preemptions += simulation.scheduler.num_preemptions();
  }
  EXPECT_GT(preemptions, 100);
}

TEST(Scheduler, RandomRemovalLeavesTheOthersRightAndNoBlockBehind) {
  std::mt19937_64 random(12);
  for (int round = 0; round < 60; ++round) {
    Simulation simulation(
        12, 16, {.max_num_seqs = 6, .max_num_batched_tokens = 24, .lookahead = any_lookahead(random)});
    std::map<RequestId, Ids> expected;
    for (RequestId id = 0; id < 20; ++id) {
      const Ids prompt = random_prompt(random, 1 + random() % 100);
      expected[id] = expected_tokens(prompt, 40);
      simulation.scheduler.add(sequence_of(id, prompt, 40));
    }
    while (simulation.busy()) {
      ASSERT_NO_FATAL_FAILURE(simulation.step());
      if (random() % 8 != 0) continue;
      const auto victim = static_cast<RequestId>(random() % 20);
      const int before = simulation.scheduler.num_running() + simulation.scheduler.num_waiting();
      const bool removed = simulation.scheduler.remove(victim);
      EXPECT_EQ(simulation.scheduler.num_running() + simulation.scheduler.num_waiting(),
                before - (removed ? 1 : 0));
      EXPECT_FALSE(simulation.scheduler.remove(victim));
      if (removed) expected.erase(victim);
    }
    ASSERT_EQ(simulation.finished, expected);
    ASSERT_EQ(simulation.pool.num_free(), simulation.pool.num_blocks());
  }
}

TEST(Scheduler, APromptGoesInChunksAndTakesBlocksAsItNeedsThem) {
  Simulation simulation(10, 8, {4, 6});
  simulation.scheduler.add(sequence_of(0, Ids(17, 5), 3));
  const std::vector<std::pair<int, int>> chunks_and_blocks = {{6, 1}, {6, 2}, {5, 3}, {1, 3}};
  for (const auto& [tokens, blocks] : chunks_and_blocks) {
    const auto chunks = simulation.scheduler.schedule();
    ASSERT_EQ(chunks.size(), 1u);
    EXPECT_EQ(chunks[0].num_tokens, tokens);
    EXPECT_EQ(simulation.pool.num_used(), blocks);
    ASSERT_NO_FATAL_FAILURE(simulation.step());  // schedules the same again: nothing was computed yet
    EXPECT_EQ(simulation.plan.num_tokens(), tokens);
    EXPECT_EQ(simulation.plan.logits_rows.size(), tokens == 6 ? 0u : 1u) << "logits before the prompt's end";
  }
}

TEST(Scheduler, DecodesComeBeforePrefillsAndShareTheBudget) {
  Simulation simulation(60, 8, {4, 10});
  simulation.scheduler.add(sequence_of(0, Ids(3, 5)));
  simulation.scheduler.add(sequence_of(1, Ids(4, 6)));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.query_start, (Ids{0, 3, 7}));
  EXPECT_EQ(simulation.plan.logits_rows, (Ids{2, 6}));
  simulation.scheduler.add(sequence_of(2, Ids(20, 7)));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.query_start, (Ids{0, 1, 2, 10}));
  EXPECT_EQ(simulation.plan.logits_rows, (Ids{0, 1}));
  EXPECT_EQ(simulation.plan.positions, (Ids{3, 4, 0, 1, 2, 3, 4, 5, 6, 7}));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.query_start, (Ids{0, 1, 2, 6}));
  EXPECT_EQ(simulation.plan.logits_rows, (Ids{0, 1, 5}));
}

TEST(Scheduler, NoMoreSequencesThanTheLimit) {
  Simulation simulation(20, 8, {2, 100});
  for (RequestId id = 0; id < 5; ++id) simulation.scheduler.add(sequence_of(id, Ids(3, 5), 2));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.num_seqs(), 2);
  EXPECT_EQ(simulation.scheduler.num_waiting(), 3);
}

// Two sequences in a cache for one and a half: the younger gives way, keeps its tokens, and comes back.
TEST(Scheduler, TheYoungestGivesItsBlocksToTheOldest) {
  Simulation simulation(4, 8, {.max_num_seqs = 4, .max_num_batched_tokens = 100, .lookahead = 1});
  simulation.scheduler.add(sequence_of(0, Ids(8, 5), 24));
  simulation.scheduler.add(sequence_of(1, Ids(6, 6), 20));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.scheduler.num_running(), 2);
  while (simulation.scheduler.num_preemptions() == 0) ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.scheduler.num_running(), 1);
  EXPECT_EQ(simulation.scheduler.num_waiting(), 1);
  EXPECT_EQ(simulation.plan.num_seqs(), 1);
  EXPECT_TRUE(simulation.finished.empty());
  while (simulation.busy()) ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.finished.at(0), expected_tokens(Ids(8, 5), 24));
  EXPECT_EQ(simulation.finished.at(1), expected_tokens(Ids(6, 6), 20));
}

TEST(Scheduler, TheOldestProgressesInEveryStep) {
  std::mt19937_64 random(13);
  Simulation simulation(7, 8, {.max_num_seqs = 8, .max_num_batched_tokens = 16, .lookahead = 1});
  for (RequestId id = 0; id < 12; ++id)
    simulation.scheduler.add(sequence_of(id, random_prompt(random, 1 + random() % 20), 30));
  while (simulation.busy()) {
    const auto chunks = simulation.scheduler.schedule();
    ASSERT_FALSE(chunks.empty());
    ASSERT_EQ(chunks[0].sequence->id, static_cast<RequestId>(simulation.finished.size()));
    ASSERT_NO_FATAL_FAILURE(simulation.step());
  }
  EXPECT_GT(simulation.scheduler.num_preemptions(), 0);
}

// A request that would only be thrown out again does not start.
TEST(Scheduler, ARequestWaitsUntilItFits) {
  Simulation simulation(4, 8, {4, 100});
  simulation.scheduler.add(sequence_of(0, Ids(20, 5), 4));  // three blocks
  simulation.scheduler.add(sequence_of(1, Ids(9, 6), 4));   // two
  while (!simulation.finished.contains(0)) {
    ASSERT_NO_FATAL_FAILURE(simulation.step());
    EXPECT_EQ(simulation.plan.num_seqs(), 1);
  }
  while (simulation.busy()) ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.scheduler.num_preemptions(), 0);
  EXPECT_EQ(simulation.finished.at(1), expected_tokens(Ids(9, 6), 4));
}

// Nor one that would be thrown out when those that run have grown; one that comes when they are about to end
// takes the blocks that they give back.
TEST(Scheduler, ARequestWaitsUntilItCanGrow) {
  Simulation simulation(8, 8, {4, 100});
  for (RequestId id = 0; id < 6; ++id) simulation.scheduler.add(sequence_of(id, Ids(8, 5), 24));
  std::vector<int> running;
  for (int steps = 0; simulation.busy(); ++steps) {
    ASSERT_LT(steps, 200);
    ASSERT_NO_FATAL_FAILURE(simulation.step());
    running.push_back(simulation.plan.num_seqs());
  }
  EXPECT_EQ(simulation.scheduler.num_preemptions(), 0);
  EXPECT_EQ(simulation.finished.size(), 6u);
  EXPECT_EQ(std::count(running.begin(), running.end(), 2), 3 * 24) << "two of four blocks each, all the time";
}

// What is left of its own blocks is used before it waits for more; the pool's other blocks are held here.
TEST(Scheduler, ThePrefillOfTheYoungestGoesAsFarAsItsBlocks) {
  Simulation simulation(4, 8, {4, 6});
  simulation.scheduler.add(sequence_of(0, Ids(12, 5), 1));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.num_tokens(), 6);
  std::vector<kv::BlockId> held;
  while (const auto block = simulation.pool.allocate()) held.push_back(*block);
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.positions, (Ids{6, 7}));
  for (const auto block : held) simulation.pool.release(block);
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.finished.at(0), expected_tokens(Ids(12, 5), 1));
  EXPECT_EQ(simulation.scheduler.num_preemptions(), 0);
}

// Texts that begin alike, with several answers each, in caches of all sizes: whatever is found again, shared,
// copied or evicted, every sequence reads its own tokens.
TEST(Scheduler, SharedBlocksGiveEverySequenceItsOwnTokens) {
  std::mt19937_64 random(14);
  int hits = 0;
  std::int64_t preemptions = 0;
  for (int round = 0; round < 150; ++round) {
    const int block_size = std::vector<int>{8, 16}[random() % 2];
    constexpr int kLongest = 150;
    const int least_blocks = (kLongest + block_size - 1) / block_size;
    Simulation simulation(least_blocks + static_cast<int>(random() % 40), block_size,
                          {1 + static_cast<int>(random() % 12), 1 + static_cast<int>(random() % 60), true,
                           any_lookahead(random)});
    const std::vector<Ids> beginnings = {random_prompt(random, 64), random_prompt(random, 40), {}};
    std::map<RequestId, Ids> expected;
    RequestId next_id = 0;
    for (int i = 0; i < 20; ++i) {
      Ids prompt = beginnings[random() % beginnings.size()];
      for (const auto id : random_prompt(random, 1 + random() % 26)) prompt.push_back(id % 3);
      const int generated = 1 + static_cast<int>(random() % 50);
      const int n = 1 + static_cast<int>(random() % 4) * static_cast<int>(random() % 2);
      for (int sibling = 0; sibling < n; ++sibling) {
        Ids tokens = expected_tokens(prompt, 1);
        tokens.back() += sibling;
        expected[next_id + sibling] = expected_tokens(tokens, generated - 1);
      }
      simulation.scheduler.add(siblings_of(next_id, prompt, generated, n));
      next_id += n;
      while (random() % 3 != 0) {
        ASSERT_NO_FATAL_FAILURE(simulation.step());
      }
      if (random() % 8 != 0) continue;
      const auto victim = static_cast<RequestId>(random() % static_cast<std::uint64_t>(next_id));
      if (simulation.scheduler.remove(victim)) expected.erase(victim);
      EXPECT_FALSE(simulation.scheduler.remove(victim));
    }
    for (int steps = 0; simulation.busy(); ++steps) {
      ASSERT_LT(steps, 100000) << "round " << round << " does not end";
      ASSERT_NO_FATAL_FAILURE(simulation.step());
    }
    ASSERT_TRUE(simulation.finished == expected) << "round " << round;
    ASSERT_EQ(simulation.pool.num_free(), simulation.pool.num_blocks());
    for (const auto& [id, tokens] : simulation.cached) hits += tokens > 0 ? 1 : 0;
    preemptions += simulation.scheduler.num_preemptions();
  }
  EXPECT_GT(hits, 500);
  EXPECT_GT(preemptions, 100);
}

TEST(Scheduler, APromptFindsTheFullBlocksOfAnEarlierOneButComputesItsLastToken) {
  Simulation simulation(30, 8, {4, 100, true});
  const auto cached_of = [&](RequestId id, const Ids& prompt) {
    simulation.scheduler.add(sequence_of(id, prompt, 2));
    while (simulation.busy()) simulation.step();
    EXPECT_EQ(simulation.finished.at(id), expected_tokens(prompt, 2));
    return simulation.cached.at(id);
  };
  Ids prompt(32, 5);
  EXPECT_EQ(cached_of(0, prompt), 0);
  EXPECT_EQ(cached_of(1, prompt), 24);
  prompt.push_back(6);
  EXPECT_EQ(cached_of(2, prompt), 32);
  prompt[8] = 7;
  EXPECT_EQ(cached_of(3, prompt), 8);
  prompt[0] = 7;
  EXPECT_EQ(cached_of(4, prompt), 0);
  const PrefixCacheCounts& counts = simulation.scheduler.prefix_cache_counts();
  EXPECT_EQ(counts.queries, 2 * 32 + 3 * 33);
  EXPECT_EQ(counts.hits, 24 + 32 + 8);
}

// Decoded keys differ from prefilled ones in their last bits, so a second turn takes only the first one's
// prompt.
TEST(Scheduler, WhatWasGeneratedIsNotFoundByAPrompt) {
  Simulation simulation(30, 8, {4, 100, true});
  simulation.scheduler.add(sequence_of(0, Ids(20, 5), 30));
  while (simulation.busy()) ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.pool.num_cached(), 2) << "blocks of generated tokens can serve nobody";
  simulation.scheduler.add(sequence_of(1, simulation.finished.at(0), 1));
  while (simulation.busy()) ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.cached.at(1), 16);
}

TEST(Scheduler, TheLeastRecentlyUsedTextIsEvictedFirstAndFromItsEnd) {
  Simulation simulation(8, 8, {4, 100, true});
  const auto run = [&](RequestId id, std::int32_t token, std::size_t size) {
    simulation.scheduler.add(sequence_of(id, Ids(size, token), 1));
    while (simulation.busy()) simulation.step();
    return simulation.cached.at(id);
  };
  run(0, 1, 24);
  run(1, 2, 24);
  EXPECT_EQ(simulation.pool.num_cached(), 6);
  run(2, 1, 24);
  run(3, 3, 40);  // five blocks, of which two are empty: the three of the second text go
  EXPECT_EQ(run(4, 1, 24), 16);
  EXPECT_EQ(run(5, 2, 24), 0);
}

TEST(Scheduler, PromptsThatBeginAlikeAreComputedOnce) {
  Simulation simulation(100, 8, {4, 21, true});
  for (RequestId id = 0; id < 4; ++id) {
    Ids prompt(200, 5);
    prompt.push_back(static_cast<std::int32_t>(id));
    simulation.scheduler.add(sequence_of(id, prompt, 1));
  }
  int computed = 0;
  while (simulation.busy()) {
    ASSERT_NO_FATAL_FAILURE(simulation.step());
    computed += simulation.plan.num_tokens();
  }
  EXPECT_LE(computed, 200 + 4 * 8);
  for (RequestId id = 0; id < 4; ++id) {
    Ids prompt(200, 5);
    prompt.push_back(static_cast<std::int32_t>(id));
    EXPECT_EQ(simulation.finished.at(id), expected_tokens(prompt, 1));
  }
}

TEST(Scheduler, SiblingsShareThePromptAndCopyWhatTheyWrite) {
  for (const bool prefix_caching : {false, true}) {
    Simulation simulation(20, 8, {8, 100, prefix_caching});
    simulation.scheduler.add(siblings_of(0, Ids(44, 5), 3, 4));
    ASSERT_NO_FATAL_FAILURE(simulation.step());
    EXPECT_EQ(simulation.scheduler.num_running(), 4);
    EXPECT_EQ(simulation.pool.num_used(), 6) << "one prompt";
    ASSERT_NO_FATAL_FAILURE(simulation.step());
    EXPECT_EQ(simulation.plan.num_tokens(), 4);
    EXPECT_EQ(simulation.pool.num_used(), 6 + 3) << "three copies of the last block";
    while (simulation.busy()) ASSERT_NO_FATAL_FAILURE(simulation.step());
    EXPECT_EQ(simulation.pool.num_free(), 20);
    EXPECT_EQ(simulation.scheduler.num_preemptions(), 0);
  }
}

TEST(Scheduler, MoreSiblingsThanAStepTakesWaitForTheirTurn) {
  Simulation simulation(6, 8, {2, 100});
  simulation.scheduler.add(siblings_of(0, Ids(12, 5), 20, 9));
  while (simulation.busy()) ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.finished.size(), 9u);
  EXPECT_EQ(simulation.pool.num_free(), 6);
}

// They take the places that there are, wait in front of who comes later, and keep nobody waiting that runs.
TEST(Scheduler, MoreSiblingsThanPlacesStartPiecewise) {
  Simulation simulation(60, 8, {3, 100});
  simulation.scheduler.add(sequence_of(0, Ids(8, 7), 40));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  simulation.scheduler.add(siblings_of(1, Ids(12, 5), 10, 5));
  simulation.scheduler.add(sequence_of(6, Ids(8, 9), 10));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.scheduler.num_running(), 3) << "the long one and two of five";
  for (int steps = 0; simulation.busy(); ++steps) {
    ASSERT_LT(steps, 200);
    ASSERT_NO_FATAL_FAILURE(simulation.step());
    if (simulation.finished.contains(6)) {
      EXPECT_TRUE(simulation.finished.contains(4)) << "who came later ran before who came earlier";
    }
    if (simulation.finished.size() == 2) {
      EXPECT_FALSE(simulation.finished.contains(0));
    }
  }
  EXPECT_EQ(simulation.scheduler.num_preemptions(), 0);
  for (RequestId id = 1; id <= 5; ++id) {
    Ids tokens = expected_tokens(Ids(12, 5), 1);
    tokens.back() += static_cast<std::int32_t>(id) - 1;
    EXPECT_EQ(simulation.finished.at(id), expected_tokens(tokens, 9));
  }
  EXPECT_EQ(simulation.pool.num_free(), 60);
}

TEST(Scheduler, ASiblingTakesOverWhenTheFirstIsRemovedAmidThePrompt) {
  Simulation simulation(20, 8, {8, 10});
  simulation.scheduler.add(siblings_of(0, Ids(24, 5), 2, 3));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_TRUE(simulation.scheduler.remove(0));
  EXPECT_FALSE(simulation.scheduler.remove(0));
  EXPECT_TRUE(simulation.scheduler.remove(2));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.positions.front(), 10);
  while (simulation.busy()) ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.finished.size(), 1u);
  Ids second = expected_tokens(Ids(24, 5), 1);
  ++second.back();
  EXPECT_EQ(simulation.finished.at(1), expected_tokens(second, 1));
}

TEST(Scheduler, ALongPromptHoldsNobodyUp) {
  Simulation simulation(200, 8, {8, 16});
  simulation.scheduler.add(sequence_of(0, Ids(4, 3), 1000));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  simulation.scheduler.add(sequence_of(1, Ids(800, 5), 1));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.query_start, (Ids{0, 1, 16})) << "the decode goes on, the prompt takes the rest";
  simulation.scheduler.add(sequence_of(2, Ids(5, 6), 3));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.query_start, (Ids{0, 1, 11, 16})) << "a short prompt is computed beside it";
  EXPECT_EQ(simulation.plan.logits_rows, (Ids{0, 15}));
  simulation.scheduler.add(sequence_of(3, Ids(400, 7), 3));
  ASSERT_NO_FATAL_FAILURE(simulation.step());
  EXPECT_EQ(simulation.plan.query_start, (Ids{0, 1, 8, 9, 16}))
      << "half to the oldest, half to the shorter one";
}

TEST(Scheduler, NothingToDoIsAnEmptyStep) {
  Simulation simulation(5, 8, {4, 100});
  EXPECT_TRUE(simulation.scheduler.schedule().empty());
  EXPECT_FALSE(simulation.scheduler.remove(0));
}

TEST(Scheduler, ItsEndFreesEveryBlock) {
  kv::KvCache cache(layout_of(8), 9, kv::KvScales::ones(1, 1));
  const kv::BlockPool& pool = cache.pool();
  {
    Scheduler scheduler(cache, {4, 100});
    scheduler.add(sequence_of(0, Ids(30, 5)));
    scheduler.schedule();
    EXPECT_EQ(pool.num_free(), 5);
  }
  EXPECT_EQ(pool.num_free(), 9);
}

}  // namespace
}  // namespace octet::engine
