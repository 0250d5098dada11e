// The whole engine over a tiny random checkpoint: a request's tokens are its own, whatever happens around it.
#include "engine/engine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "files/checkpoint.h"
#include "kernels/dispatch.h"
#include "model/tiny_checkpoint.h"

namespace octet::engine {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr int kVocabulary = 64;
constexpr int kModelLen = 160;
constexpr int kMaxBatchedTokens = 512;

std::shared_ptr<const files::Checkpoint> open_tiny(const std::string& name, const tests::TinyOptions& options) {
  const auto directory =
      std::filesystem::temp_directory_path() / ("octet_engine_" + name + "_" + std::to_string(getpid()));
  auto checkpoint =
      std::make_shared<const files::Checkpoint>(files::Checkpoint::open(write_tiny_llama(directory, options)));
  std::filesystem::remove_all(directory);  // the mappings stay
  return checkpoint;
}

const std::shared_ptr<const files::Checkpoint>& tiny_checkpoint() {
  static const auto checkpoint = open_tiny("plain", {.vocab_size = kVocabulary});
  return checkpoint;
}

struct Setting {
  int num_blocks = 200;
  int block_size = 16;
  int threads = 1;
  // float32, so that the rounding of a key cannot depend on which kernel computed it.
  KvDtype dtype = KvDtype::float32;
  Dtype activations = Dtype::float32;
  kernels::AttentionMath attention_math = kernels::AttentionMath::fp32;
  EngineOptions engine = {.max_model_len = kModelLen};
  std::shared_ptr<const files::Checkpoint> checkpoint = tiny_checkpoint();
};

struct Result {
  Ids tokens = {};
  FinishReason reason = FinishReason::none;
  std::vector<std::vector<TokenLogprob>> logprobs = {};

  bool operator==(const Result& other) const { return tokens == other.tokens && reason == other.reason; }
};

std::ostream& operator<<(std::ostream& out, const Result& result) {
  for (const auto id : result.tokens) out << id << ' ';
  return out << "(" << static_cast<int>(result.reason) << ")";
}

class Harness {
 public:
  explicit Harness(const Setting& setting)
      : threads_(setting.threads),
        model_(setting.checkpoint, *kernels::find_table({}), threads_, kMaxBatchedTokens),
        cache_(layout(setting), setting.num_blocks,
               kv::KvScales::ones(model_.config().num_layers, model_.config().num_kv_heads)),
        engine_(model_, cache_, setting.engine) {
    model_.set_dtype(setting.activations);
    model_.set_attention_math(setting.attention_math);
  }

  Engine& engine() { return engine_; }
  kv::KvCache& cache() { return cache_; }
  std::map<RequestId, Result>& results() { return results_; }

  void step() {
    for (TokenOutput& output : engine_.step()) {
      Result& result = results_[output.request];
      ASSERT_EQ(result.reason, FinishReason::none) << "a token after the end";
      result.tokens.push_back(output.token_id);
      result.reason = output.finish_reason;
      result.logprobs.push_back(std::move(output.logprobs));
    }
  }

  // Runs everything to its end; the results in the order of `requests`.
  std::vector<Result> run(const std::vector<Request>& requests) {
    std::vector<RequestId> ids;
    for (const Request& request : requests) ids.push_back(engine_.add(request));
    while (engine_.has_unfinished()) step();
    EXPECT_EQ(cache_.pool().num_free(), cache_.pool().num_blocks());
    std::vector<Result> results;
    for (const RequestId id : ids) results.push_back(results_[id]);
    return results;
  }

 private:
  kv::KvLayout layout(const Setting& setting) const {
    const model::ModelConfig& config = model_.config();
    return {config.num_layers,  config.num_kv_heads, config.head_dim,
            setting.block_size, setting.dtype,       setting.dtype};
  }

  ThreadPool threads_;
  model::Model model_;
  kv::KvCache cache_;
  Engine engine_;
  std::map<RequestId, Result> results_;
};

std::vector<Result> run(const Setting& setting, const std::vector<Request>& requests) {
  return Harness(setting).run(requests);
}

// Every request by itself, in an engine that has nothing else to do.
std::vector<Result> run_alone(const std::vector<Request>& requests) {
  Harness harness({});
  std::vector<Result> results;
  for (const Request& request : requests) results.push_back(harness.run({request})[0]);
  return results;
}

Ids random_prompt(std::mt19937_64& random, std::size_t size) {
  Ids prompt(size);
  for (auto& id : prompt) id = static_cast<std::int32_t>(random() % kVocabulary);
  return prompt;
}

// Half greedy, half drawn with a seed and all the knobs; some with stop tokens.
Request random_request(std::mt19937_64& random) {
  Request request{.prompt = random_prompt(random, 1 + random() % 70),
                  .max_tokens = 1 + static_cast<int>(random() % 60)};
  request.sampling.temperature = 0;
  if (random() % 2 == 0) {
    request.sampling = {.temperature = 0.9,
                        .top_p = 0.95,
                        .top_k = 40,
                        .min_p = 0.01,
                        .presence_penalty = 0.2,
                        .frequency_penalty = 0.1,
                        .repetition_penalty = 1.1,
                        .seed = random()};
  }
  if (random() % 3 == 0) {
    request.stop_token_ids = {2, 7, 11};
    request.min_tokens = static_cast<int>(random() % 6);
  }
  return request;
}

std::vector<Request> eight_requests() {
  std::mt19937_64 random(21);
  std::vector<Request> requests;
  for (int i = 0; i < 8; ++i) requests.push_back(random_request(random));
  for (std::size_t i = 0; i < 4; ++i) {  // long enough, all of them, to meet in the cache
    requests[i].max_tokens = 60;
    requests[i].stop_token_ids.clear();
  }
  return requests;
}

const std::vector<Result>& eight_alone() {
  static const std::vector<Result> results = run_alone(eight_requests());
  return results;
}

TEST(Engine, TheTinyModelIsNotTrivial) {
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(eight_alone()[i].tokens.size(), 60u);
    const std::set<std::int32_t> distinct(eight_alone()[i].tokens.begin(), eight_alone()[i].tokens.end());
    EXPECT_GT(distinct.size(), 3u);
  }
}

TEST(Engine, ABatchGivesWhatEachRequestGivesAlone) { EXPECT_EQ(run({}, eight_requests()), eight_alone()); }

TEST(Engine, ChunksOfAnySizeGiveTheSame) {
  for (int budget = 1; budget <= 7; ++budget) {
    Setting setting;
    setting.engine.max_num_batched_tokens = budget;
    EXPECT_EQ(run(setting, eight_requests()), eight_alone()) << budget << " tokens a step";
  }
  for (const int sequences : {1, 3}) {
    Setting setting;
    setting.engine.max_num_seqs = sequences;
    EXPECT_EQ(run(setting, eight_requests()), eight_alone()) << sequences << " sequences";
  }
}

TEST(Engine, BlockSizeAndThreadsGiveTheSame) {
  for (const int block_size : {8, 16, 32, 64, 128}) {
    for (const int threads : {1, 2}) {
      const Setting setting{.num_blocks = 40, .block_size = block_size, .threads = threads};
      EXPECT_EQ(run(setting, eight_requests()), eight_alone())
          << "block size " << block_size << ", " << threads << " threads";
    }
  }
}

// Greedy, and with a seed: what is computed again must not draw again, nor give a token twice.
TEST(Engine, PreemptionGivesTheSame) {
  for (const int block_size : {8, 16}) {
    Setting setting{.num_blocks = kModelLen / block_size, .block_size = block_size};
    setting.engine.admission_lookahead = 1;  // who starts has to give way
    for (const int budget : {5, 64, 512}) {
      setting.engine.max_num_batched_tokens = budget;
      Harness harness(setting);
      EXPECT_EQ(harness.run(eight_requests()), eight_alone()) << "budget " << budget;
      EXPECT_GT(harness.engine().stats().num_preemptions, 0) << "budget " << budget;
    }
  }
}

TEST(Engine, AnFp8CacheUnderPreemptionStillEndsEveryRequest) {
  Setting setting{.num_blocks = kModelLen / 16, .dtype = KvDtype::fp8_e4m3};
  setting.engine.admission_lookahead = 1;
  Harness harness(setting);
  const std::vector<Request> requests = eight_requests();
  const std::vector<Result> results = harness.run(requests);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(results[i].tokens.size(), 60u);
    EXPECT_EQ(results[i].reason, FinishReason::length);
  }
  EXPECT_GT(harness.engine().stats().num_preemptions, 0);
}

TEST(Engine, HundredsOfRandomRequests) {
  std::mt19937_64 random(31);
  std::vector<Request> requests;
  for (int i = 0; i < 200; ++i) requests.push_back(random_request(random));
  const std::vector<Result> alone = run_alone(requests);

  Setting setting{.num_blocks = kModelLen / 8, .block_size = 8, .threads = 2};
  setting.engine.max_num_seqs = 10;
  setting.engine.max_num_batched_tokens = 48;
  setting.engine.admission_lookahead = 1;
  Harness harness(setting);
  std::map<RequestId, std::size_t> index;
  std::set<RequestId> cancelled;
  for (std::size_t next = 0; next < requests.size() || harness.engine().has_unfinished();) {
    while (next < requests.size() && random() % 4 != 0) {
      index[harness.engine().add(requests[next])] = next;
      ++next;
    }
    ASSERT_NO_FATAL_FAILURE(harness.step());
    if (random() % 10 != 0 || index.empty()) continue;
    const auto victim = static_cast<RequestId>(random() % index.size());
    harness.engine().cancel(victim);
    if (harness.results()[victim].reason == FinishReason::none) cancelled.insert(victim);
    harness.engine().cancel(victim);  // a second time is nothing
  }
  EXPECT_EQ(harness.cache().pool().num_free(), harness.cache().pool().num_blocks());
  EXPECT_GT(harness.engine().stats().num_preemptions, 10);
  EXPECT_GT(cancelled.size(), 10u);
  EXPECT_EQ(index.size(), requests.size());
  for (const auto& [id, i] : index) {
    Result found = harness.results()[id];
    if (cancelled.contains(id)) {  // what came before it is right
      ASSERT_LT(found.tokens.size(), alone[i].tokens.size());
      found.tokens.insert(found.tokens.end(),
                          alone[i].tokens.begin() + static_cast<std::ptrdiff_t>(found.tokens.size()),
                          alone[i].tokens.end());
      found.reason = alone[i].reason;
    }
    ASSERT_EQ(found, alone[i]) << "request " << i;
  }
}

// What a request gives in an engine of the same setting that has never seen another one.
Result run_cold(const Setting& setting, const Request& request) { return Harness(setting).run({request})[0]; }

bool same_bits(const Result& a, const Result& b) {
  if (!(a == b) || a.logprobs.size() != b.logprobs.size()) return false;
  for (std::size_t i = 0; i < a.logprobs.size(); ++i)
    if (!std::equal(a.logprobs[i].begin(), a.logprobs[i].end(), b.logprobs[i].begin(), b.logprobs[i].end(),
                    [](const TokenLogprob& x, const TokenLogprob& y) {
                      return x.token_id == y.token_id && x.logprob == y.logprob && x.rank == y.rank;
                    }))
      return false;
  return true;
}

// FP8, where a last bit of a key is enough to store it as its neighbour: turns of a chat, prompts that begin
// alike, and the same ones again, in a cache that must evict and preempt.
TEST(Engine, WhatTheCacheHeldChangesNoBitOfAnAnswer) {
  using enum kernels::AttentionMath;
  struct Arithmetic {
    KvDtype dtype;
    Dtype activations = Dtype::float32;
    kernels::AttentionMath attention_math = fp32;
  };
  for (const auto& [dtype, activations, math] : {Arithmetic{KvDtype::fp8_e4m3},
                                                 {KvDtype::float16},
                                                 {KvDtype::int8_hadamard_per_token_head},
                                                 {KvDtype::fp8_e4m3, Dtype::bfloat16},
                                                 {KvDtype::fp8_e4m3, Dtype::float32, fp8},
                                                 {KvDtype::fp8_e4m3, Dtype::float32, fp8_hopper}}) {
    Setting setting{
        .num_blocks = 28, .block_size = 8, .dtype = dtype, .activations = activations, .attention_math = math};
    setting.engine.max_num_batched_tokens = 40;
    setting.engine.admission_lookahead = 1;
    std::mt19937_64 random(41);
    Harness harness(setting);
    const Ids system = random_prompt(random, 30);
    std::vector<Request> requests;
    for (int i = 0; i < 6; ++i) {
      Request request{.prompt = system, .sampling = {.temperature = 0, .logprobs = 2}, .max_tokens = 40};
      for (const auto id : random_prompt(random, 5 + random() % 30)) request.prompt.push_back(id);
      requests.push_back(request);
      requests.push_back(std::move(request));
    }
    for (int turn = 0; turn < 2; ++turn) {
      const std::vector<Result> results = harness.run(requests);
      Result cold;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (i % 2 == 0) cold = run_cold(setting, requests[i]);  // and of the twin after it
        ASSERT_TRUE(same_bits(results[i], cold))
            << dtype_name(dtype) << ", activations " << dtype_name(activations) << ", attention math "
            << static_cast<int>(math) << ", turn " << turn << ", request " << i;
        requests[i].prompt.insert(requests[i].prompt.end(), results[i].tokens.begin(), results[i].tokens.end());
        requests[i].prompt.push_back(3);
      }
    }
    const EngineStats stats = harness.engine().stats();
    EXPECT_GT(stats.prefix_cache_hits, 500);
    EXPECT_LT(stats.prefix_cache_hits, stats.prefix_cache_queries);
    EXPECT_GT(stats.num_preemptions, 0);
  }
}

TEST(Engine, InTheSameMemoryFp8HoldsTwiceTheSequencesBeforeTheFirstPreemption) {
  constexpr std::int64_t kBytes = 400000;
  const auto most_running = [](KvDtype dtype) {
    const std::int64_t block = kv::KvLayout(2, 2, 16, 8, dtype, dtype).bytes_per_block();
    Setting setting{.num_blocks = static_cast<int>(kBytes / block), .block_size = 8, .dtype = dtype};
    setting.engine.max_num_seqs = 256;
    setting.engine.admission_lookahead = 16;  // else none is preempted
    Harness harness(setting);
    for (int i = 0; i < 200; ++i) harness.engine().add({.prompt = Ids(40, i % kVocabulary), .max_tokens = 100});
    int most = 0;
    while (harness.engine().stats().num_preemptions == 0 && harness.engine().has_unfinished()) {
      harness.step();
      most = std::max(most, harness.engine().stats().num_running);
    }
    return most;
  };
  const int sixteen = most_running(KvDtype::float16);
  EXPECT_GT(sixteen, 20);
  EXPECT_GE(most_running(KvDtype::fp8_e4m3), 2 * sixteen);
}

// A second turn with room for everything: were the blocks of the first answer taken as they were decoded, the
// likelihoods would differ.
TEST(Engine, ASecondTurnHasTheBitsOfAColdOne) {
  for (const KvDtype dtype : {KvDtype::float32, KvDtype::fp8_e4m3}) {
    std::mt19937_64 random(51);
    const Setting setting{.dtype = dtype};
    Harness harness(setting);
    for (int i = 0; i < 6; ++i) {
      Request request{.prompt = random_prompt(random, 20 + random() % 20),
                      .sampling = {.temperature = 0, .logprobs = 2},
                      .max_tokens = 64};
      const Ids answer = harness.run({request})[0].tokens;
      request.prompt.insert(request.prompt.end(), answer.begin(), answer.end());
      for (const auto id : random_prompt(random, 10)) request.prompt.push_back(id);
      request.max_tokens = 20;
      const std::int64_t hits = harness.engine().stats().prefix_cache_hits;
      ASSERT_TRUE(same_bits(harness.run({request})[0], run_cold(setting, request)))
          << dtype_name(dtype) << ", chat " << i;
      EXPECT_GT(harness.engine().stats().prefix_cache_hits, hits);
    }
  }
}

TEST(Engine, TheSecondTurnOfAChatComputesOnlyWhatIsNew) {
  Harness harness({});
  Request request{.prompt = Ids(100, 7), .sampling = {.temperature = 0}, .max_tokens = 20};
  const Ids answer = harness.run({request})[0].tokens;
  const std::int64_t before = harness.engine().stats().num_batch_tokens;
  request.prompt.insert(request.prompt.end(), answer.begin(), answer.end());
  request.max_tokens = 1;
  harness.run({request});
  EXPECT_EQ(harness.engine().stats().num_batch_tokens - before, 120 - 96);
  EXPECT_EQ(harness.engine().stats().prompt_tokens, 100 + 120);
  EXPECT_EQ(harness.engine().stats().generation_tokens, 21);

  Setting setting;
  setting.engine.enable_prefix_caching = false;
  Harness without(setting);
  for (int i = 0; i < 2; ++i) without.run({request});
  EXPECT_EQ(without.engine().stats().num_batch_tokens, 240);
  EXPECT_EQ(without.engine().stats().prefix_cache_queries, 0);
}

TEST(Engine, SeveralAnswersAreWhatTheyWouldBeAlone) {
  const auto answers = [](const Setting& setting, Request request, int n) {
    Harness harness(setting);
    request.n = n;
    const RequestId first = harness.engine().add(request);
    while (harness.engine().has_unfinished()) harness.step();
    EXPECT_EQ(harness.cache().pool().num_free(), harness.cache().pool().num_blocks());
    std::vector<Result> results;
    for (int i = 0; i < n; ++i) results.push_back(harness.results()[first + i]);
    return results;
  };
  std::mt19937_64 random(43);
  Request request{.prompt = random_prompt(random, 45),
                  .sampling = {.temperature = 1.2, .seed = 500, .logprobs = 1},
                  .max_tokens = 50};
  for (const bool prefix_caching : {false, true}) {
    Setting setting{.dtype = KvDtype::fp8_e4m3};
    setting.engine.enable_prefix_caching = prefix_caching;
    std::vector<Result> alone;
    for (int i = 0; i < 5; ++i) {
      Request each = request;
      *each.sampling.seed += static_cast<std::uint64_t>(i);
      alone.push_back(run_cold(setting, each));
    }
    EXPECT_NE(alone[0].tokens, alone[1].tokens);
    for (const int sequences : {32, 3}) {
      for (const int blocks : {200, 10}) {
        setting.engine.max_num_seqs = sequences;
        setting.num_blocks = blocks;
        const std::vector<Result> together = answers(setting, request, 5);
        for (std::size_t i = 0; i < 5; ++i)
          ASSERT_TRUE(same_bits(together[i], alone[i])) << sequences << " sequences, answer " << i;
      }
    }
  }
}

// Token i of an answer leaves i % 3 when divided by 3, and from the sixth on the end may come, after the
// twentieth nothing else.
class Turns final : public TokenGrammar {
 public:
  static constexpr std::int32_t kEnd = 1;

  std::unique_ptr<TokenMatcher> start() const override { return std::make_unique<Matcher>(); }
  static bool allows(std::int32_t token, int place) {
    return token == kEnd ? place >= 6 : place < 20 && token % 3 == place % 3;
  }

 private:
  struct Matcher final : TokenMatcher {
    void allowed_next(TokenMask& mask) override {
      std::fill(mask.begin(), mask.end(), 0u);
      for (std::int32_t id = 0; id < kVocabulary; ++id)
        if (allows(id, place)) mask[static_cast<std::size_t>(id) / 32] |= 1u << (id % 32);
    }
    bool accept(std::int32_t token) override {
      EXPECT_TRUE(allows(token, place++));
      return token != kEnd;
    }
    int place = 0;
  };
};

std::vector<Request> requests_in_turns() {
  std::vector<Request> requests = eight_requests();
  for (Request& request : requests) {
    request.grammar = std::make_shared<Turns>();
    request.stop_token_ids.clear();
    request.sampling.logprobs = 3;
  }
  requests[0].min_tokens = 30;  // more than the grammar has
  requests[0].stop_token_ids = {Turns::kEnd};
  requests[1].grammar = nullptr;
  return requests;
}

TEST(Engine, AnAnswerWithAGrammarKeepsToIt) {
  const std::vector<Request> requests = requests_in_turns();
  const std::vector<Result> alone = run_alone(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].grammar) continue;
    const Result& result = alone[i];
    for (std::size_t place = 0; place < result.tokens.size(); ++place) {
      EXPECT_TRUE(Turns::allows(result.tokens[place], static_cast<int>(place)));
      for (const TokenLogprob& entry : result.logprobs[place])
        EXPECT_TRUE(Turns::allows(entry.token_id, static_cast<int>(place))) << entry.logprob;
    }
    const bool ended = result.tokens.back() == Turns::kEnd && result.tokens.size() > 6;
    EXPECT_EQ(result.reason, ended ? FinishReason::stop : FinishReason::length);
    EXPECT_TRUE(ended || result.tokens.size() == static_cast<std::size_t>(requests[i].max_tokens));
  }
  EXPECT_EQ(alone[0].tokens.size(), 21u);
  EXPECT_EQ(run({}, requests), alone);
}

TEST(Engine, AGrammarSurvivesPreemption) {
  Setting setting{.num_blocks = kModelLen / 8, .block_size = 8};
  setting.engine.admission_lookahead = 1;
  setting.engine.max_num_batched_tokens = 64;
  Harness harness(setting);
  EXPECT_EQ(harness.run(requests_in_turns()), run_alone(requests_in_turns()));
  EXPECT_GT(harness.engine().stats().num_preemptions, 0);
}

TEST(Engine, EachOfSeveralAnswersHasItsOwnPlaceInTheGrammar) {
  Request request = requests_in_turns()[2];
  request.sampling = {.temperature = 1.0, .seed = 5};
  request.n = 4;
  request.max_tokens = 30;
  Harness harness({});
  harness.run({request});
  ASSERT_EQ(harness.results().size(), 4u);
  for (const auto& [id, result] : harness.results()) {
    Request alone = request;
    alone.n = 1;
    *alone.sampling.seed += static_cast<std::uint64_t>(id - harness.results().begin()->first);
    EXPECT_EQ(result, run_alone({alone})[0]);
  }
}

TEST(Engine, ABrokenAnswerEndsAloneAndTheOthersGoOn) {
  Harness harness({});
  Request request{.prompt = Ids{5, 6, 7}, .sampling = {.temperature = 0}, .max_tokens = 6};
  const RequestId good = harness.engine().add(request);
  request.sampling.logit_bias = {{4, std::numeric_limits<float>::infinity()}};
  const RequestId bad = harness.engine().add(request);
  while (harness.engine().has_unfinished()) harness.step();
  EXPECT_EQ(harness.results()[bad].reason, FinishReason::error);
  EXPECT_EQ(harness.results()[good].reason, FinishReason::length);
  EXPECT_EQ(harness.results()[good].tokens.size(), 6u);
}

TEST(Engine, CancellingFreesAtOnce) {
  Harness harness({});
  Engine& engine = harness.engine();
  const RequestId first = engine.add({.prompt = Ids(40, 3), .max_tokens = 50});
  const RequestId second = engine.add({.prompt = Ids(40, 4), .max_tokens = 50});
  harness.step();
  EXPECT_EQ(harness.cache().pool().num_free(), 200 - 6);
  engine.cancel(first);
  EXPECT_EQ(harness.cache().pool().num_free(), 200 - 3);
  engine.cancel(first);
  engine.cancel(999);
  engine.cancel(-1);
  EXPECT_TRUE(engine.has_unfinished());
  engine.cancel(second);
  EXPECT_FALSE(engine.has_unfinished());
  EXPECT_EQ(harness.cache().pool().num_free(), 200);
  EXPECT_TRUE(engine.step().empty());
}

TEST(Engine, EndsWithAStopTokenWhichStaysInTheOutput) {
  Request request{.prompt = Ids{5, 6, 7}, .sampling = {.temperature = 0}, .max_tokens = 20};
  const Ids free = run({}, {request})[0].tokens;
  ASSERT_EQ(free.size(), 20u);
  std::size_t at = 1;  // a token that does not come before
  while (std::find(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(at), free[at]) !=
         free.begin() + static_cast<std::ptrdiff_t>(at))
    ++at;
  request.stop_token_ids = {free[at], 1000000, -5};  // ids outside the vocabulary cannot come
  const Result stopped = run({}, {request})[0];
  EXPECT_EQ(stopped.reason, FinishReason::stop);
  EXPECT_EQ(stopped.tokens, Ids(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(at) + 1));

  request.min_tokens = static_cast<int>(at) + 1;  // the token there must be another one
  const Result later = run({}, {request})[0];
  ASSERT_GT(later.tokens.size(), at);
  EXPECT_NE(later.tokens[at], free[at]);
  EXPECT_EQ(std::count(later.tokens.begin(), later.tokens.begin() + request.min_tokens, free[at]), 0);
}

TEST(Engine, AStopTokenAtMaxTokensIsAStop) {
  Request request{.prompt = Ids{5, 6, 7}, .sampling = {.temperature = 0}, .max_tokens = 1};
  EXPECT_EQ(run({}, {request})[0].reason, FinishReason::length);
  request.stop_token_ids = run({}, {request})[0].tokens;
  EXPECT_EQ(run({}, {request})[0].reason, FinishReason::stop);
}

TEST(Engine, EndsAtMaxModelLen) {
  Setting setting{.num_blocks = 2};
  setting.engine.max_model_len = 32;
  const Result result = run(setting, {{.prompt = Ids(10, 3), .max_tokens = 1000}})[0];
  EXPECT_EQ(result.tokens.size(), 22u);
  EXPECT_EQ(result.reason, FinishReason::length);
  EXPECT_EQ(run(setting, {{.prompt = Ids(31, 3), .max_tokens = 1000}})[0].tokens.size(), 1u);
}

TEST(Engine, LogprobsComeWithEveryToken) {
  const Request request{.prompt = Ids{1, 2, 3}, .sampling = {.temperature = 0, .logprobs = 3}, .max_tokens = 8};
  const Result result = run({}, {request, {.prompt = Ids{4}, .max_tokens = 8}})[0];
  ASSERT_EQ(result.logprobs.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) {
    ASSERT_EQ(result.logprobs[i].size(), 3u);
    EXPECT_EQ(result.logprobs[i][0].token_id, result.tokens[i]);
    EXPECT_EQ(result.logprobs[i][0].rank, 1);
    EXPECT_GE(result.logprobs[i][0].logprob, result.logprobs[i][1].logprob);
    EXPECT_LE(result.logprobs[i][0].logprob, 0.0f);
  }
}

template <typename Function>
std::optional<Error> error_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

TEST(Engine, RefusesBadRequestsWithOneClearMessage) {
  Harness harness({});
  const auto message = [&](Request request) -> std::string {
    const auto error = error_of([&] { harness.engine().add(std::move(request)); });
    if (!error) return "no error";
    EXPECT_EQ(error->code(), ErrorCode::invalid_argument);
    return error->what();
  };
  EXPECT_EQ(message({}), "prompt: expected at least one token, found none");
  EXPECT_EQ(message({.prompt = {1, 64}}),
            "prompt: token 1: expected an id below the vocabulary size 64, found 64");
  EXPECT_EQ(message({.prompt = {-1}}),
            "prompt: token 0: expected an id below the vocabulary size 64, found -1");
  EXPECT_EQ(message({.prompt = Ids(160, 1)}),
            "prompt: expected fewer tokens than max_model_len, which is 160, found 160");
  EXPECT_EQ(message({.prompt = {1}, .max_tokens = 0}), "max_tokens: expected 1 or more, found 0");
  Ids all(kVocabulary);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(i);
  EXPECT_NE(message({.prompt = {1}, .min_tokens = 1, .stop_token_ids = all}).find("stop_token_ids"),
            std::string::npos);
  EXPECT_EQ(message({.prompt = {1}, .stop_token_ids = all}), "no error");
  EXPECT_EQ(message({.prompt = Ids(159, 63)}), "no error");
}

// Against what each beginning of the prompt gives for the next token, in whatever chunks, beside others,
// computed again after preemption, and with the prompt in the cache.
TEST(Engine, PromptLogprobsAreThoseOfEveryBeginning) {
  std::mt19937_64 random(47);
  const Ids prompt = random_prompt(random, 100);
  Harness reference({.dtype = KvDtype::fp8_e4m3});
  std::vector<TokenLogprob> expected;
  for (std::size_t size = 1; size < prompt.size(); ++size) {
    const Result result =
        reference.run({{.prompt = Ids(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(size)),
                        .sampling = {.temperature = 0, .logprobs = kVocabulary},
                        .max_tokens = 1}})[0];
    for (const TokenLogprob& entry : result.logprobs[0])
      if (entry.token_id == prompt[size]) expected.push_back(entry);
  }
  ASSERT_EQ(expected.size(), 99u);

  for (const int budget : {7, 100, 512}) {
    for (const int blocks : {200, 10}) {
      Setting setting{.num_blocks = blocks, .dtype = KvDtype::fp8_e4m3};
      setting.engine.max_num_batched_tokens = budget;
      Harness harness(setting);
      harness.run({{.prompt = prompt, .max_tokens = 2}});
      harness.engine().add({.prompt = Ids(90, 3), .max_tokens = 60});
      const RequestId id =
          harness.engine().add({.prompt = prompt, .max_tokens = 50, .prompt_logprobs = 2, .n = 3});
      int times = 0;
      while (harness.engine().has_unfinished()) {
        for (const TokenOutput& output : harness.engine().step()) {
          if (output.prompt_logprobs.empty()) continue;
          ++times;
          EXPECT_EQ(output.request, id);
          EXPECT_EQ(output.cached_tokens, 0);
          ASSERT_EQ(output.prompt_logprobs.size(), 99u);
          for (std::size_t i = 0; i < 99; ++i) {
            ASSERT_GE(output.prompt_logprobs[i].size(), 2u);
            ASSERT_EQ(output.prompt_logprobs[i][0].token_id, prompt[i + 1]);
            ASSERT_EQ(output.prompt_logprobs[i][0].logprob, expected[i].logprob) << i;
            ASSERT_EQ(output.prompt_logprobs[i][0].rank, expected[i].rank);
          }
        }
      }
      EXPECT_EQ(times, 1);
      EXPECT_EQ(harness.cache().pool().num_free(), blocks);
    }
  }
}

TEST(Engine, ABiasMakesATokenLikelyOrImpossible) {
  Request request{.prompt = Ids{5, 6, 7}, .sampling = {.temperature = 0, .logprobs = 0}, .max_tokens = 4};
  const Result free = run({}, {request})[0];
  request.sampling.logit_bias = {{free.tokens[0], -100.0f}};
  EXPECT_NE(run({}, {request})[0].tokens[0], free.tokens[0]);
  request.sampling.logit_bias = {{9, 100.0f}};
  const Result forced = run({}, {request})[0];
  EXPECT_EQ(forced.tokens, Ids(4, 9));
  EXPECT_LT(forced.logprobs[0][0].logprob, -0.1f) << "the model's own distribution, as without the bias";
  Harness harness({});
  request.sampling.logit_bias = {{64, 1.0f}};
  EXPECT_THROW(harness.engine().add(request), Error);
  request.sampling.logit_bias.clear();
  request.n = 0;
  EXPECT_THROW(harness.engine().add(request), Error);
}

TEST(Engine, RefusesOptionsThatCannotWork) {
  const auto error = [](const Setting& setting) {
    return error_of([&] { Harness harness(setting); }).value_or(Error(ErrorCode::internal, "no error"));
  };
  const Error small = error({.num_blocks = 9});
  EXPECT_EQ(small.code(), ErrorCode::out_of_memory);
  const kv::KvLayout layout{2, 2, 16, 16, KvDtype::float32, KvDtype::float32};
  for (const std::string& part :
       {std::string("144"), std::string("160"), std::to_string(160 * layout.bytes_per_token())})
    EXPECT_NE(std::string(small.what()).find(part), std::string::npos) << small.what();
  EXPECT_EQ(error({.num_blocks = 10}).message(), "no error");

  const auto refusal = [&](EngineOptions options) { return std::string(error({.engine = options}).what()); };
  EXPECT_NE(refusal({.max_model_len = 1}).find("max_model_len"), std::string::npos);
  EXPECT_NE(refusal({.max_model_len = 257}).find("expected 2 to 256, found 257"), std::string::npos);
  EXPECT_NE(refusal({.max_num_seqs = 0, .max_model_len = 20}).find("max_num_seqs"), std::string::npos);
  EXPECT_NE(refusal({.max_num_batched_tokens = -1, .max_model_len = 20}).find("max_num_batched_tokens"),
            std::string::npos);
}

TEST(Engine, AModelThatGivesNanEndsEveryRequestWithAnError) {
  tests::TinyOptions options{.num_layers = 1, .vocab_size = kVocabulary, .extra_config = R"("mlp_bias": true)"};
  std::vector<float> broken(32, 0.0f);
  broken[5] = std::numeric_limits<float>::quiet_NaN();
  options.extra_tensors = {{"model.layers.0.mlp.gate_proj.bias", {64}, std::vector<float>(64)},
                           {"model.layers.0.mlp.up_proj.bias", {64}, std::vector<float>(64)},
                           {"model.layers.0.mlp.down_proj.bias", {32}, broken}};
  Harness harness({.checkpoint = open_tiny("nan", options)});
  harness.engine().add({.prompt = {1, 2, 3}});
  harness.engine().add({.prompt = {4}});
  const std::vector<TokenOutput> outputs = harness.engine().step();
  ASSERT_EQ(outputs.size(), 2u);
  for (const TokenOutput& output : outputs) {
    EXPECT_EQ(output.finish_reason, FinishReason::error);
    EXPECT_NE(output.error.find("the model produced no finite logits"), std::string::npos) << output.error;
  }
  EXPECT_FALSE(harness.engine().has_unfinished());
  EXPECT_EQ(harness.cache().pool().num_free(), harness.cache().pool().num_blocks());
  EXPECT_TRUE(harness.engine().step().empty());
}

}  // namespace
}  // namespace octet::engine
