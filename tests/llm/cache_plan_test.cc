#include <gtest/gtest.h>
#include <octet/cache_plan.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "llm/tiny_llm.h"

namespace octet {
namespace {

// Four layers of 2 KV heads of 16 dims: 1,024 bytes a token in float32 (what auto is here), 256 in FP8; a layer
// that stays in float32 takes 192 more.
struct TinyPlan {
  tests::ScratchFolder folder;
  CachePlanOptions options;
  TinyPlan() {
    tests::TinyOptions tiny;
    tiny.num_layers = 4;
    options.model = tests::write_tiny_llm(folder.path(), tiny);
    options.documents = {
        std::string("The rain went on for days, and then in one hour it was over. "
                    "Nobody in the town had seen the river so high before that winter.")};
    options.configs = {"fp8_e4m3", "fp8_e5m2"};
    options.target_tokens = 64;
    options.block_size = 16;
    options.threads = 2;
  }
  CachePlan with_budget(std::int64_t bytes_per_token) {
    options.kv_budget = 64 * bytes_per_token;
    return plan_cache(options);
  }
};

TEST(CachePlan, TakesTheWideCacheWhereItFits) {
  const CachePlan plan = TinyPlan().with_budget(1024);
  EXPECT_TRUE(plan.complete);
  EXPECT_EQ(plan.chosen.config, "auto");
  EXPECT_EQ(plan.chosen.mean_kl, 0);
  EXPECT_EQ(plan.candidates.size(), 2u);
  EXPECT_TRUE(plan.layer_kl.empty());
}

// Three layers of four have a window of 16 tokens: of a sequence of 256 tokens they keep 3 blocks of 16, and
// the step's.
std::string write_windowed(const std::filesystem::path& folder) {
  tests::TinyOptions options;
  options.num_layers = 4;
  options.max_position_embeddings = 2048;
  options.extra_config = R"("sliding_window": 16, "layer_types": ["sliding_attention", "sliding_attention", )"
                         R"("full_attention", "sliding_attention"])";
  return tests::write_tiny_llm(folder, options);
}

TEST(CachePlan, CountsWhatWindowsKeep) {
  TinyPlan tiny;
  tiny.options.model = write_windowed(tiny.folder.path());
  tiny.options.target_tokens = 2048;
  tiny.options.kv_budget = 2048 * 64 + 35 * 16 * 3 * 64;
  const CachePlan plan = plan_cache(tiny.options);
  EXPECT_EQ(plan.chosen.config, "fp8_e4m3");
  EXPECT_EQ(plan.chosen.tokens, 2048);
  EXPECT_TRUE(plan.chosen.fits);
  EXPECT_TRUE(plan.skip_layers.empty());
  EXPECT_FALSE(plan.baseline.fits);
}

// What takes most bytes a token holds most tokens where its wide layers are those that keep a window alone.
TEST(CachePlan, TheSmallestCacheIsTheOneThatHoldsMost) {
  TinyPlan tiny;
  tiny.options.model = write_windowed(tiny.folder.path());
  tiny.options.configs = {"fp8_e4m3+skip=2", "fp8_e4m3+skip=sliding_window"};
  tiny.options.target_tokens = 2048;
  tiny.options.kv_budget = 2048 * 64 + 35 * 16 * 3 * 256;
  const CachePlan plan = plan_cache(tiny.options);
  EXPECT_EQ(plan.chosen.config, "fp8_e4m3+skip=sliding_window");
  EXPECT_EQ(plan.chosen.tokens, 2048);
  EXPECT_FALSE(plan.candidates[0].fits);
  EXPECT_GT(plan.chosen.bytes_per_token, plan.candidates[0].bytes_per_token);
}

TEST(CachePlan, WithoutRoomForALayerItIsTheBestCandidate) {
  const CachePlan plan = TinyPlan().with_budget(256 + 191);
  EXPECT_EQ(plan.chosen.config, "fp8_e4m3");
  EXPECT_TRUE(plan.skip_layers.empty());
  EXPECT_GT(plan.candidates[1].mean_kl, plan.chosen.mean_kl);
  EXPECT_EQ(plan.chosen.tokens, 64 * (256 + 191) / (256 * 16) * 16);
  const std::vector<std::string> expected = {"--kv-cache-dtype", "fp8_e4m3", "--kv-cache-memory-bytes", "28608",
                                             "--max-model-len",  "96"};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), plan.octet_arguments.begin() + 1));
  EXPECT_EQ(plan.vllm_arguments, plan.octet_arguments);
}

TEST(CachePlan, RoomGoesToTheLayersThatLoseMost) {
  const CachePlan plan = TinyPlan().with_budget(256 + 2 * 192);
  ASSERT_EQ(plan.layer_kl.size(), 4u);
  EXPECT_EQ(plan.base, "fp8_e4m3");
  for (const double kl : plan.layer_kl) EXPECT_GT(kl, 0);
  ASSERT_EQ(plan.skip_layers.size(), 2u);
  std::vector<int> order = {0, 1, 2, 3};
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    return plan.layer_kl[static_cast<std::size_t>(a)] > plan.layer_kl[static_cast<std::size_t>(b)];
  });
  order.resize(2);
  std::sort(order.begin(), order.end());
  EXPECT_EQ(plan.skip_layers, order);
  EXPECT_EQ(plan.chosen.bytes_per_token, 256 + 2 * 192);
  EXPECT_TRUE(plan.chosen.fits);
  EXPECT_LT(plan.chosen.mean_kl, plan.candidates[0].mean_kl);
  const std::string layers = std::to_string(order[0]) + "," + std::to_string(order[1]);
  EXPECT_EQ(plan.octet_arguments[4], layers);
  EXPECT_EQ(plan.vllm_arguments[4], std::to_string(order[0]));  // vLLM's flag takes several values
  EXPECT_EQ(plan.vllm_arguments[5], std::to_string(order[1]));
}

TEST(CachePlan, KeysApartAreNothingForVllm) {
  TinyPlan tiny;
  tiny.options.configs = {"fp8_e4m3+k=float16"};
  const CachePlan plan = tiny.with_budget(384);
  EXPECT_EQ(plan.chosen.config, "fp8_e4m3+k=float16");
  EXPECT_TRUE(plan.vllm_arguments.empty());
  EXPECT_NE(plan.vllm_note.find("one dtype"), std::string::npos);
}

TEST(CachePlan, CalculatedScalesAreArgumentsForOctetAndNothingForVllm) {
  TinyPlan tiny;
  tiny.options.configs = {"fp8_e4m3+scales=bound+strategy=attn_head"};
  const CachePlan plan = tiny.with_budget(384);
  EXPECT_EQ(plan.chosen.scale_source, "calculated from the weights");
  const std::vector<std::string> expected = {"--kv-cache-dtype", "fp8_e4m3", "--calculate-kv-scales=bound",
                                             "--kv-scale-strategy", "attn_head"};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), plan.octet_arguments.begin() + 1));
  EXPECT_TRUE(plan.vllm_arguments.empty());
  EXPECT_NE(plan.vllm_note.find("octet calibrate"), std::string::npos);
  tiny.options.configs = {"fp8_e4m3+dtype=bfloat16+quantization=fp8"};
  const CachePlan rounded = tiny.with_budget(384);
  for (const auto& arguments : {rounded.octet_arguments, rounded.vllm_arguments})
    for (const char* flag : {"--dtype", "--quantization"})
      EXPECT_NE(std::find(arguments.begin(), arguments.end(), flag), arguments.end()) << flag;
  tiny.options.configs = {"fp8_e4m3+quantization=int8"};
  EXPECT_NE(tiny.with_budget(384).vllm_note.find("--quantization int8"), std::string::npos);
  tiny.options.configs = {"fp8_e4m3+math=fp8"};
  EXPECT_NE(tiny.with_budget(384).vllm_note.find("--attention-math"), std::string::npos);
}

TEST(CachePlan, ForVllmChoosesAmongWhatItHas) {
  TinyPlan tiny;
  tiny.options.for_vllm = true;
  tiny.options.configs = {};
  const CachePlan plan = tiny.with_budget(384);
  ASSERT_EQ(plan.candidates.size(), 4u);
  for (const MeasuredCache& cache : plan.candidates)
    EXPECT_EQ(cache.config.find("hadamard"), std::string::npos) << cache.config;
  EXPECT_EQ(plan.chosen.config, "int8_per_token_head");
  EXPECT_FALSE(plan.vllm_arguments.empty());
  tiny.options.configs = {"fp8_e4m3", "int8_hadamard_per_token_head"};
  const Error error = tests::error_of([&] { tiny.with_budget(384); });
  EXPECT_EQ(error.context(), "configs");
  EXPECT_NE(error.message().find("vLLM has no int8_hadamard_per_token_head"), std::string::npos)
      << error.what();
}

TEST(CachePlan, SaysWhatWouldFitWhereNothingDoes) {
  const Error error = tests::error_of([] { TinyPlan().with_budget(255); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_NE(error.message().find("48 tokens fit"), std::string::npos) << error.what();
}

TEST(CachePlan, RefusesBadOptionsBeforeMeasuring) {
  const auto refused = [](auto change) {
    TinyPlan tiny;
    tiny.options.kv_budget = 1000000;
    change(tiny.options);
    const Error error = tests::error_of([&] {
      plan_cache(tiny.options, [](const EvaluationProgress&) -> bool { throw std::logic_error("measured"); });
    });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.context();
  };
  using Options = CachePlanOptions;
  EXPECT_EQ(refused([](Options& o) { o.kv_budget = o.target_tokens = 0; }), "kv_budget and target_tokens");
  EXPECT_EQ(refused([](Options& o) { o.kv_budget = -1; }), "kv_budget and target_tokens");
  EXPECT_EQ(refused([](Options& o) { o.documents = {}; }), "documents");
  EXPECT_EQ(refused([](Options& o) { o.configs = {"fp9"}; }), "configs");
  EXPECT_EQ(refused([](Options& o) { o.layer_tokens = 1; }), "layer_tokens");
}

TEST(CachePlan, TheCallbackEndsIt) {
  TinyPlan tiny;
  tiny.options.kv_budget = 64 * 256;
  EXPECT_FALSE(plan_cache(tiny.options, [](const EvaluationProgress&) { return false; }).complete);
}

}  // namespace
}  // namespace octet
