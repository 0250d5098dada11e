// Layers with a sliding window give back the blocks behind it: whatever is freed, taken by others and found
// again, every request gets the bits that it gets from a cache that keeps them all and shares none.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "files/checkpoint.h"
#include "kernels/dispatch.h"
#include "kv/kv_capacity.h"
#include "model/tiny_checkpoint.h"

namespace octet::engine {
namespace {

using Ids = std::vector<std::int32_t>;
using Checkpoint = std::shared_ptr<const files::Checkpoint>;

constexpr int kVocabulary = 64;
constexpr int kModelLen = 400;
constexpr int kBlockSize = 8;

// Three layers; the first and the last have the window, or all have.
Checkpoint checkpoint_with(int window, bool all_layers = false) {
  tests::TinyOptions options{.num_layers = 3, .vocab_size = kVocabulary, .max_position_embeddings = kModelLen};
  options.extra_config = "\"sliding_window\": " + std::to_string(window);
  if (!all_layers)
    options.extra_config += R"(, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"])";
  const auto directory = std::filesystem::temp_directory_path() /
                         ("octet_window_" + std::to_string(window) + "_" + std::to_string(getpid()));
  auto checkpoint =
      std::make_shared<const files::Checkpoint>(files::Checkpoint::open(write_tiny_llama(directory, options)));
  std::filesystem::remove_all(directory);  // the mappings stay
  return checkpoint;
}

struct Setting {
  bool frees = true;  // or windows are masks alone
  int full_blocks = 200;
  int window_blocks = 200;
  KvDtype dtype = KvDtype::float32;
  EngineOptions engine = {.max_model_len = kModelLen};
  int wider = 0;  // the last layer keeps so many tokens more than its window
};

struct Result {
  Ids tokens = {};
  FinishReason reason = FinishReason::none;
  std::vector<float> logprobs = {};

  bool operator==(const Result&) const = default;
};

class Harness {
 public:
  Harness(const Checkpoint& checkpoint, const Setting& setting)
      : threads_(1),
        model_(checkpoint, *kernels::find_table({}), threads_, 512),
        cache_(layout(setting), blocks(setting),
               kv::KvScales::ones(model_.config().num_layers, model_.config().num_kv_heads)),
        engine_(model_, cache_, setting.engine) {}

  Engine& engine() { return engine_; }
  std::map<RequestId, Result>& results() { return results_; }
  int used(int group) const { return cache_.pool(group).num_used(); }
  int cached(int group) const { return cache_.pool(group).num_cached(); }
  int num_groups() const { return static_cast<int>(cache_.groups().size()); }

  void step() {
    for (const TokenOutput& output : engine_.step()) {
      ASSERT_TRUE(output.error.empty()) << output.error;
      Result& result = results_[output.request];
      result.tokens.push_back(output.token_id);
      result.reason = output.finish_reason;
      for (const TokenLogprob& each : output.logprobs) result.logprobs.push_back(each.logprob);
    }
  }

  // Runs everything to its end; the results of all answers in the order of `requests`.
  std::vector<Result> run(const std::vector<Request>& requests) {
    std::vector<RequestId> ids;
    for (const Request& request : requests)
      for (RequestId first = engine_.add(request), id = first; id < first + request.n; ++id) ids.push_back(id);
    while (engine_.has_unfinished()) step();
    expect_no_leak();
    std::vector<Result> results;
    for (const RequestId id : ids) results.push_back(results_[id]);
    return results;
  }

  void expect_no_leak() const {
    for (int group = 0; group < num_groups(); ++group) EXPECT_EQ(used(group), 0) << "group " << group;
  }

 private:
  kv::KvLayout layout(const Setting& setting) const {
    const model::ModelConfig& c = model_.config();
    kv::KvLayout layout(c.num_layers, c.num_kv_heads, c.head_dim, kBlockSize, setting.dtype, setting.dtype);
    if (setting.frees)
      for (const model::LayerConfig& layer : c.layers) layout.windows.push_back(layer.sliding_window);
    if (setting.frees) layout.windows.back() += setting.wider;
    return layout;
  }
  std::vector<std::int32_t> blocks(const Setting& setting) const {
    std::vector<std::int32_t> blocks;
    for (const kv::KvGroup& group : layout(setting).groups())
      blocks.push_back(group.window > 0 ? setting.window_blocks : setting.full_blocks);
    return blocks;
  }

  ThreadPool threads_;
  model::Model model_;
  kv::KvCache cache_;
  Engine engine_;
  std::map<RequestId, Result> results_;
};

Ids random_prompt(std::mt19937_64& random, std::size_t size) {
  Ids prompt(size);
  for (auto& id : prompt) id = static_cast<std::int32_t>(random() % kVocabulary);
  return prompt;
}

std::vector<Request> random_requests(unsigned seed, int count, int most_answers = 1) {
  std::mt19937_64 random(seed);
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    Request request{.prompt = random_prompt(random, 1 + random() % 200),
                    .sampling = {.temperature = 0.8, .seed = random(), .logprobs = 1},
                    .max_tokens = 1 + static_cast<int>(random() % 120)};
    request.n = 1 + static_cast<int>(random() % static_cast<unsigned>(most_answers));
    requests.push_back(std::move(request));
  }
  return requests;
}

// Each request alone, in a cache that keeps all blocks.
std::vector<Result> expected_results(const Checkpoint& checkpoint, const std::vector<Request>& requests,
                                     KvDtype dtype = KvDtype::float32) {
  Setting setting{.frees = false, .dtype = dtype};
  setting.engine.enable_prefix_caching = false;
  Harness harness(checkpoint, setting);
  EXPECT_EQ(harness.num_groups(), 1);
  std::vector<Result> results;
  for (const Request& request : requests)
    for (Result& result : harness.run({request})) results.push_back(std::move(result));
  return results;
}

std::int32_t least_window_blocks(int window) {
  return static_cast<std::int32_t>(
      kv::window_blocks(kv::KvLayout(1, 1, 16, kBlockSize, KvDtype::float32, KvDtype::float32), window));
}

TEST(Windows, FreeingChangesNoBitWhateverTheChunks) {
  for (const int window : {1, 8, 21, 64}) {
    const Checkpoint checkpoint = checkpoint_with(window);
    const std::vector<Request> requests = random_requests(5, 6);
    const std::vector<Result> expected = expected_results(checkpoint, requests);
    for (const int budget : {7, 33, 512}) {
      Setting setting;
      setting.engine.max_num_batched_tokens = budget;
      EXPECT_EQ(Harness(checkpoint, setting).run(requests), expected)
          << "window " << window << " budget " << budget;
    }
  }
}

TEST(Windows, AnFp8CacheAndAModelOfWindowsAlone) {
  const Checkpoint checkpoint = checkpoint_with(30, true);
  const std::vector<Request> requests = random_requests(6, 6);
  for (const KvDtype dtype : {KvDtype::fp8_e4m3, KvDtype::int8_hadamard_per_token_head}) {
    Harness harness(checkpoint, {.window_blocks = 60, .dtype = dtype});
    EXPECT_EQ(harness.num_groups(), 1);
    EXPECT_EQ(harness.run(requests), expected_results(checkpoint, requests, dtype));
  }
}

// In pools that hold one sequence each: of the longest, and of a window.
TEST(Windows, PreemptionInEitherGroupGivesTheSame) {
  constexpr int kWindow = 40;
  const Checkpoint checkpoint = checkpoint_with(kWindow);
  const std::vector<Request> requests = random_requests(7, 10, 3);
  const std::vector<Result> expected = expected_results(checkpoint, requests);
  for (const auto& [full, windowed] : std::vector<std::pair<int, int>>{
           {kModelLen / kBlockSize, 400}, {400, least_window_blocks(kWindow)}, {kModelLen / kBlockSize, 12}}) {
    Setting setting{.full_blocks = full, .window_blocks = windowed};
    for (const int budget : {9, 100}) {
      setting.engine.max_num_batched_tokens = budget;
      setting.engine.max_num_seqs = 8;
      setting.engine.admission_lookahead = 64;  // less than answers have
      Harness harness(checkpoint, setting);
      EXPECT_EQ(harness.run(requests), expected) << full << " and " << windowed << " blocks, budget " << budget;
      EXPECT_GT(harness.engine().stats().num_preemptions, 0) << full << " and " << windowed << " blocks";
    }
  }
}

TEST(Windows, CancelledRequestsLeaveNoBlockAndTheOthersRight) {
  const Checkpoint checkpoint = checkpoint_with(25);
  const std::vector<Request> requests = random_requests(8, 24, 3);
  const std::vector<Result> expected = expected_results(checkpoint, requests);
  Setting setting{.full_blocks = 70, .window_blocks = 20};
  setting.engine.max_num_batched_tokens = 50;
  Harness harness(checkpoint, setting);
  for (const Request& request : requests) harness.engine().add(request);
  std::mt19937_64 random(9);
  std::set<RequestId> cancelled;
  while (harness.engine().has_unfinished()) {
    ASSERT_NO_FATAL_FAILURE(harness.step());
    if (random() % 8 != 0) continue;
    const auto victim = static_cast<RequestId>(random() % expected.size());
    if (harness.results()[victim].reason == FinishReason::none) cancelled.insert(victim);
    harness.engine().cancel(victim);
  }
  harness.expect_no_leak();
  EXPECT_GT(cancelled.size(), 5u);
  EXPECT_LT(cancelled.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (!cancelled.contains(static_cast<RequestId>(i))) {
      EXPECT_EQ(harness.results()[static_cast<RequestId>(i)], expected[i]) << i;
    }
}

// A prompt of six windows in chunks, then four more: the cache of the windowed layers stays where it is.
TEST(Windows, TheCacheOfWindowedLayersStopsGrowing) {
  constexpr int kWindow = 40, kChunk = 24;
  Setting setting;
  setting.engine.max_num_batched_tokens = kChunk;
  Harness harness(checkpoint_with(kWindow), setting);
  std::mt19937_64 random(10);
  harness.engine().add({.prompt = random_prompt(random, 6 * kWindow), .max_tokens = 4 * kWindow - 1});
  const auto blocks = [](int tokens) { return (tokens + kBlockSize - 1) / kBlockSize; };
  int most = 0, computed = 0;
  while (harness.engine().has_unfinished()) {
    const int before = computed;
    ASSERT_NO_FATAL_FAILURE(harness.step());
    computed = static_cast<int>(harness.engine().stats().num_batch_tokens);
    if (!harness.engine().has_unfinished()) break;
    EXPECT_EQ(harness.used(0), blocks(computed));
    EXPECT_LE(harness.used(1), blocks(kWindow - 1) + 1) << "between steps";
    if (before >= kWindow) {
      EXPECT_GE(harness.used(1), (kWindow - 1) / kBlockSize);
    }
    most = std::max(most, harness.used(1));
  }
  EXPECT_EQ(computed, 10 * kWindow - 2);
  EXPECT_LE(most, blocks(kWindow - 1) + 1);
  harness.expect_no_leak();
}

// The pool of a window holds what one step computes beside what the window keeps.
TEST(Windows, APoolOfOneWindowTakesAPromptPieceByPiece) {
  constexpr int kWindow = 16;
  const Checkpoint checkpoint = checkpoint_with(kWindow);
  const std::vector<Request> requests = random_requests(11, 1);
  Harness harness(checkpoint, {.window_blocks = least_window_blocks(kWindow)});
  EXPECT_EQ(harness.run(requests), expected_results(checkpoint, requests));
}

TEST(Windows, ACacheThatCannotHoldAWindowIsRefused) {
  const Checkpoint checkpoint = checkpoint_with(64);
  try {
    Harness(checkpoint, {.window_blocks = least_window_blocks(64) - 1});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_NE(std::string(error.what()).find("window of 64"), std::string::npos) << error.what();
  }
}

// Requests whose prompts begin with one of three texts, as far as any of it.
std::vector<Request> requests_that_begin_alike(unsigned seed, int count, int most_answers = 1) {
  std::mt19937_64 random(seed);
  const std::vector<Ids> beginnings = {random_prompt(random, 150), random_prompt(random, 90),
                                       random_prompt(random, 40)};
  std::vector<Request> requests = random_requests(seed + 1, count, most_answers);
  for (Request& request : requests) {
    const Ids& beginning = beginnings[random() % beginnings.size()];
    const auto end = beginning.begin() + static_cast<std::ptrdiff_t>(random() % beginning.size());
    request.prompt.resize(1 + request.prompt.size() % 40);
    request.prompt.insert(request.prompt.begin(), beginning.begin(), random() % 2 == 0 ? beginning.end() : end);
  }
  return requests;
}

// With room for everything, with pools in which blocks are evicted all the time, and with one group or two that
// have windows. Sanitizers, under which it takes a minute, see two of them: every window takes the same code.
TEST(Windows, SharedPrefixesChangeNoBit) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const auto windows = {std::pair{21, false}, {30, true}};
#else
  const auto windows = {std::pair{1, false}, {8, false}, {21, false}, {64, false}, {30, true}};
#endif
  std::int64_t preemptions = 0;
  for (const auto& [window, all_layers] : windows) {
    const Checkpoint checkpoint = checkpoint_with(window, all_layers);
    const std::vector<Request> requests = requests_that_begin_alike(20, 16, 3);
    for (const auto& [dtype, wider] : {std::pair{KvDtype::float32, 0}, {KvDtype::fp8_e4m3, 19}}) {
      const std::vector<Result> expected = expected_results(checkpoint, requests, dtype);
      for (const auto& [full, windowed] : {std::pair{400, 400}, {100, 40}, {kModelLen / kBlockSize, 16}}) {
        Setting setting{.full_blocks = full, .window_blocks = windowed, .dtype = dtype, .wider = wider};
        setting.engine.max_num_batched_tokens = 50;
        setting.engine.max_num_seqs = 6;
        setting.engine.admission_lookahead = 1;
        Harness harness(checkpoint, setting);
        EXPECT_EQ(harness.num_groups(), (all_layers ? 1 : 2) + (wider > 0 ? 1 : 0));
        for (int turn = 0; turn < 2; ++turn)
          ASSERT_EQ(harness.run(requests), expected) << "window " << window << ", wider " << wider << ", "
                                                     << full << " and " << windowed << " blocks, turn " << turn;
        const EngineStats stats = harness.engine().stats();
        EXPECT_LE(stats.prefix_cache_hits, stats.prefix_cache_queries);
        if (windowed == 400) {
          EXPECT_GT(stats.prefix_cache_hits, stats.prefix_cache_queries / 3);
        }
        preemptions += stats.num_preemptions;
      }
    }
  }
  EXPECT_GT(preemptions, 10 * static_cast<int>(windows.size()));
}

TEST(Windows, CancelledRequestsThatSharePrefixesLeaveNoBlock) {
  const Checkpoint checkpoint = checkpoint_with(25);
  const std::vector<Request> requests = requests_that_begin_alike(22, 30, 3);
  const std::vector<Result> expected = expected_results(checkpoint, requests);
  Setting setting{.full_blocks = 80, .window_blocks = 24};
  setting.engine.max_num_batched_tokens = 50;
  setting.engine.admission_lookahead = 16;
  Harness harness(checkpoint, setting);
  for (const Request& request : requests) harness.engine().add(request);
  std::mt19937_64 random(23);
  std::set<RequestId> cancelled;
  while (harness.engine().has_unfinished()) {
    ASSERT_NO_FATAL_FAILURE(harness.step());
    if (random() % 16 != 0) continue;
    const auto victim = static_cast<RequestId>(random() % expected.size());
    if (harness.results()[victim].reason == FinishReason::none) cancelled.insert(victim);
    harness.engine().cancel(victim);
  }
  harness.expect_no_leak();
  EXPECT_GT(harness.engine().stats().prefix_cache_hits, 0);
  EXPECT_GT(cancelled.size(), 5u);
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (!cancelled.contains(static_cast<RequestId>(i))) {
      EXPECT_EQ(harness.results()[static_cast<RequestId>(i)], expected[i]) << i;
    }
}

// A prompt goes on where every group has what is read from there: of a window the blocks before that place.
TEST(Windows, APrefixIsFoundAsFarAsItsWindowIsStillThere) {
  constexpr int kWindow = 16;
  const Checkpoint checkpoint = checkpoint_with(kWindow);
  std::mt19937_64 random(12);
  const Ids prompt = random_prompt(random, 100);
  Ids parting(prompt.begin(), prompt.begin() + 50);
  for (const auto id : random_prompt(random, 20)) parting.push_back(id);
  for (const int window_blocks : {200, 6}) {
    Setting setting{.window_blocks = window_blocks};
    setting.engine.max_num_batched_tokens = 16;
    Harness harness(checkpoint, setting);
    const auto hits_of = [&](const Ids& ids) {
      const std::int64_t before = harness.engine().stats().prefix_cache_hits;
      const std::vector<Request> requests = {
          {.prompt = ids, .sampling = {.temperature = 0, .logprobs = 1}, .max_tokens = 4}};
      EXPECT_EQ(harness.run(requests), expected_results(checkpoint, requests));
      return harness.engine().stats().prefix_cache_hits - before;
    };
    EXPECT_EQ(hits_of(prompt), 0);
    EXPECT_EQ(hits_of(prompt), 96);
    EXPECT_EQ(hits_of(parting), window_blocks == 200 ? 48 : 0) << "the window before its 48th token is gone";
    // Those of generated tokens serve nobody.
    EXPECT_LE(harness.cached(1), window_blocks == 200 ? 100 / kBlockSize + (70 - 48) / kBlockSize : 6);
  }
}

}  // namespace
}  // namespace octet::engine
