#include "llm/cache_choice.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llm/tiny_llm.h"

namespace octet::llm {
namespace {

model::ModelConfig config() {
  model::ModelConfig result;
  result.num_layers = 2;
  result.num_kv_heads = 3;
  result.num_heads = 6;
  result.head_dim = 64;
  result.max_position_embeddings = 128;
  result.dtype = Dtype::bfloat16;
  return result;
}

// Two layers with scales of their own, found in four tensors.
model::KvScaleReport with_scales() {
  model::KvScaleReport report;
  report.scales = kv::KvScales::ones(2, 3);
  report.scales->layers[1].k = {0.5f, 0.5f, 0.5f};
  for (int layer = 0; layer < 2; ++layer)
    for (const char which : {'k', 'v'}) report.findings.push_back({"scale", which, layer, true, "", {1.0f}});
  return report;
}

kv::KvLayout uniform_layout(const model::ModelConfig& config, KvDtype dtype) {
  return {config.num_layers, config.num_kv_heads, config.head_dim, 16, dtype, dtype};
}

TEST(CacheChoice, AutoTakesTheModelsDtypeWithoutScalesOrNotices) {
  const CacheChoice choice = choose_cache({"auto"}, config(), {});
  EXPECT_EQ(choice.dtypes, (kv::LayerDtypes{KvDtype::float16, KvDtype::float16}));
  EXPECT_EQ(choice.scale_strategy, "none");
  EXPECT_EQ(choice.scale_source, "not needed");
  EXPECT_TRUE(choice.notices.empty());
}

TEST(CacheChoice, AutoTakesWhatTheCheckpointAsksForAndSaysSo) {
  model::KvScaleReport report = with_scales();
  report.requested_dtype = KvDtype::fp8_e4m3;
  report.quant_method = "compressed-tensors";
  const CacheChoice choice = choose_cache({"auto"}, config(), report);
  EXPECT_EQ(choice.dtypes, (kv::LayerDtypes{KvDtype::fp8_e4m3, KvDtype::fp8_e4m3}));
  EXPECT_EQ(choice.scales.layers[1].k[0], 0.5f);
  EXPECT_EQ(choice.scale_source, "checkpoint (4 tensors)");
  ASSERT_EQ(choice.notices.size(), 2u);
  EXPECT_NE(choice.notices[0].find("compressed-tensors"), std::string::npos) << choice.notices[0];
}

TEST(CacheChoice, Fp8IsE4m3) {
  EXPECT_EQ(choose_cache({"fp8"}, config(), {}).dtypes,
            (kv::LayerDtypes{KvDtype::fp8_e4m3, KvDtype::fp8_e4m3}));
  EXPECT_EQ(choose_cache({"fp8_e4m3"}, config(), {}).dtypes,
            (kv::LayerDtypes{KvDtype::fp8_e4m3, KvDtype::fp8_e4m3}));
  EXPECT_EQ(choose_cache({"fp8_e5m2"}, config(), {}).dtypes,
            (kv::LayerDtypes{KvDtype::fp8_e5m2, KvDtype::fp8_e5m2}));
}

TEST(CacheChoice, WithoutScalesItIsOneAndExactlyOneNotice) {
  const CacheChoice choice = choose_cache({"fp8_e5m2"}, config(), {});
  EXPECT_EQ(choice.scale_source, "none found: 1.0");
  ASSERT_EQ(choice.notices.size(), 1u);
  EXPECT_NE(choice.notices[0].find("1.0"), std::string::npos);
  for (const kv::LayerScales& layer : choice.scales.layers) EXPECT_EQ(layer.k, std::vector<float>(3, 1.0f));
}

TEST(CacheChoice, A16BitCacheSaysThatItNeedsNoScales) {
  const CacheChoice choice = choose_cache({"auto"}, config(), with_scales());
  EXPECT_EQ(choice.dtypes, (kv::LayerDtypes{KvDtype::float16, KvDtype::float16}));
  EXPECT_EQ(choice.scales.layers[1].k[0], 1.0f);
  ASSERT_EQ(choice.notices.size(), 1u);
  EXPECT_NE(choice.notices[0].find("not needed"), std::string::npos);
}

TEST(CacheChoice, BadScalesAreAnErrorOnlyWhereTheyAreUsed) {
  model::KvScaleReport report;
  report.error = Error(ErrorCode::invalid_file, "expected finite numbers, found nan", "m: tensor t.k_scale");
  for (const char* dtype : {"auto", "float16", "int8_per_token_head"}) {
    const CacheChoice choice = choose_cache({dtype}, config(), report);
    ASSERT_EQ(choice.notices.size(), 1u) << dtype;
    EXPECT_NE(choice.notices[0].find("t.k_scale"), std::string::npos) << choice.notices[0];
    EXPECT_NE(choice.notices[0].find("not needed by a"), std::string::npos) << choice.notices[0];
    EXPECT_EQ(choice.scales.layers[1].k[0], 1.0f);
  }
  EXPECT_EQ(tests::error_of([&] { choose_cache({"fp8"}, config(), report); }).context(), "m: tensor t.k_scale");
  const CacheChoice calculated = choose_cache({"fp8"}, config(), report, /*calculated=*/true);
  EXPECT_NE(calculated.notices.at(0).find("others are calculated"), std::string::npos) << calculated.notices[0];
  report.config_refused = true;  // quantised weights, for one
  EXPECT_EQ(tests::error_of([&] { choose_cache({"float16"}, config(), report); }).code(),
            ErrorCode::invalid_file);
}

TEST(CacheChoice, AFullMachineIsToldFromARoomyOne) {
  EXPECT_EQ(describe_scarce_memory(1), "");
  const std::string notice = describe_scarce_memory(std::int64_t{1} << 60);
  EXPECT_NE(notice.find("1152921504606846976 bytes"), std::string::npos) << notice;
}

TEST(CacheChoice, ScalesMadeForTheOtherFormatAreUsedWithANotice) {
  model::KvScaleReport report = with_scales();
  report.requested_dtype = KvDtype::fp8_e4m3;
  const CacheChoice choice = choose_cache({"fp8_e5m2"}, config(), report);
  EXPECT_EQ(choice.scales.layers[1].k[0], 0.5f);
  ASSERT_EQ(choice.notices.size(), 2u);
  EXPECT_NE(choice.notices[1].find("fp8_e4m3"), std::string::npos);
}

TEST(CacheChoice, RefusesAnUnknownDtype) {
  for (const char* bad : {"", "int8", "FP8", "fp8_e3m4"}) {
    const Error error = tests::error_of([&] { choose_cache({bad}, config(), {}); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.context(), "kv_cache_dtype");
  }
}

TEST(CacheChoice, KeysAndValuesMayDiffer) {
  const CacheChoice choice = choose_cache(
      {.kv_cache_dtype = "fp8", .kv_cache_dtype_k = "bfloat16", .kv_cache_dtype_v = "fp8_e5m2"}, config(), {});
  EXPECT_EQ(choice.dtypes, (kv::LayerDtypes{KvDtype::bfloat16, KvDtype::fp8_e5m2}));
  ASSERT_EQ(choice.notices.size(), 1u);
  EXPECT_NE(choice.notices[0].find("fp8_e5m2 values use 1.0"), std::string::npos) << choice.notices[0];
  const CacheChoice keys = choose_cache({.kv_cache_dtype = "fp8", .kv_cache_dtype_k = "auto"}, config(), {});
  EXPECT_EQ(keys.dtypes, (kv::LayerDtypes{KvDtype::float16, KvDtype::fp8_e4m3}));
  const kv::KvLayout layout = cache_layout(config(), keys, 16);
  EXPECT_EQ(layout.describe_dtypes(), "k float16, v fp8_e4m3");
  EXPECT_EQ(layout.bytes_per_token(), 2 * 3 * 64 * 3);
}

TEST(CacheChoice, VectorsWithTheirOwnScalesNeedNone) {
  const CacheChoice choice = choose_cache({"int8_hadamard_per_token_head"}, config(), with_scales());
  EXPECT_EQ(choice.dtypes,
            (kv::LayerDtypes{KvDtype::int8_hadamard_per_token_head, KvDtype::int8_per_token_head}));
  EXPECT_EQ(choice.scale_source, "not needed");
  ASSERT_EQ(choice.notices.size(), 1u);
  EXPECT_NE(choice.notices[0].find("not needed by a"), std::string::npos) << choice.notices[0];
  const kv::KvLayout layout = cache_layout(config(), choice, 16);
  EXPECT_EQ(layout.bytes_per_token(), 2 * 3 * 2 * (64 + 2));
  EXPECT_EQ(choose_cache({"fp8_per_token_head"}, config(), {}).dtypes,
            (kv::LayerDtypes{KvDtype::fp8_per_token_head, KvDtype::fp8_per_token_head}));
  const CacheChoice mixed = choose_cache(
      {.kv_cache_dtype = "fp8", .kv_cache_dtype_k = "int8_hadamard_per_token_head"}, config(), with_scales());
  EXPECT_EQ(mixed.dtypes, (kv::LayerDtypes{KvDtype::int8_hadamard_per_token_head, KvDtype::fp8_e4m3}));
  EXPECT_EQ(mixed.scale_source, "checkpoint (4 tensors)");
}

TEST(CacheChoice, AutoForOnePartFollowsTheCheckpoint) {
  model::KvScaleReport report = with_scales();
  report.requested_dtype = KvDtype::fp8_e4m3;
  report.quant_method = "modelopt";
  const CacheChoice choice =
      choose_cache({.kv_cache_dtype = "float16", .kv_cache_dtype_v = "auto"}, config(), report);
  EXPECT_EQ(choice.dtypes, (kv::LayerDtypes{KvDtype::float16, KvDtype::fp8_e4m3}));
  EXPECT_NE(choice.notices.at(0).find("modelopt"), std::string::npos);
}

TEST(CacheChoice, SkippedLayersAreLeftInSixteenBits) {
  const CacheChoice choice = choose_cache(
      {.kv_cache_dtype = "fp8", .kv_cache_dtype_k = "fp8_e5m2", .kv_cache_dtype_skip_layers = {"1"}}, config(),
      {});
  EXPECT_EQ(choice.skip_layers, std::vector<int>{1});
  const kv::KvLayout layout = cache_layout(config(), choice, 16);
  EXPECT_EQ(layout.layers[0], (kv::LayerDtypes{KvDtype::fp8_e5m2, KvDtype::fp8_e4m3}));
  EXPECT_EQ(layout.layers[1], (kv::LayerDtypes{KvDtype::float16, KvDtype::float16}));
  EXPECT_EQ(layout.bytes_per_token(), 3 * 64 * (1 + 1 + 2 + 2));
}

TEST(CacheChoice, SkippedLayersMayBeListsAndAWindow) {
  const auto skipped = [](std::vector<std::string> items, int window) {
    model::ModelConfig windowed = config();
    windowed.num_layers = 5;
    windowed.sliding_window = window;
    windowed.layers.resize(5);
    for (const std::size_t layer : {0u, 1u, 3u}) windowed.layers[layer].sliding_window = window;
    return choose_cache({.kv_cache_dtype = "fp8", .kv_cache_dtype_skip_layers = std::move(items)}, windowed,
                        {});
  };
  EXPECT_EQ(skipped({"4,0", "2", "2"}, 0).skip_layers, (std::vector<int>{0, 2, 4}));
  EXPECT_EQ(skipped({"sliding_window"}, 64).skip_layers, (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(skipped({"2,sliding_window"}, 64).skip_layers, (std::vector<int>{0, 1, 2, 3}));
  const CacheChoice none = skipped({"sliding_window", "3"}, 0);
  EXPECT_EQ(none.skip_layers, std::vector<int>{3});
  EXPECT_NE(none.notices.at(0).find("no layer of this model has a window"), std::string::npos);
  for (const char* bad : {"5", "-1", "", "1,", "x", "1 2", "99999999999"}) {
    const Error error = tests::error_of([&] { skipped({bad}, 0); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.context(), "kv_cache_dtype_skip_layers");
    EXPECT_NE(error.message().find("0 to 4"), std::string::npos) << error.message();
  }
}

TEST(CacheChoice, RefusesAnUnknownDtypeOfOnePart) {
  const Error k = tests::error_of([] { choose_cache({.kv_cache_dtype_k = "int3"}, config(), {}); });
  EXPECT_EQ(k.context(), "kv_cache_dtype_k");
  const Error v = tests::error_of([] { choose_cache({.kv_cache_dtype_v = "int3"}, config(), {}); });
  EXPECT_EQ(v.context(), "kv_cache_dtype_v");
  for (const std::string& name : kv_cache_dtype_names())
    EXPECT_NE(v.message().find(name), std::string::npos) << v.message();
}

TEST(CacheSize, IsWhatTheBytesHold) {
  const kv::KvLayout layout = uniform_layout(config(), KvDtype::fp8_e4m3);
  EXPECT_EQ(choose_num_blocks(layout, {128, 512}, 4, layout.bytes_per_block() * 11 + 5), 11);
}

TEST(CacheSize, DefaultsToMaxNumSeqsSequencesWhereMemoryAllows) {
  const kv::KvLayout layout = uniform_layout(config(), KvDtype::fp8_e4m3);
  EXPECT_EQ(choose_num_blocks(layout, {100, 512}, 4, 0), 7 * 4);
}

TEST(CacheSize, IsNeverLessThanOneSequenceByDefault) {
  model::ModelConfig huge = config();
  huge.max_position_embeddings = 1 << 30;
  const kv::KvLayout layout = uniform_layout(huge, KvDtype::bfloat16);
  EXPECT_EQ(choose_num_blocks(layout, {1 << 30, 512}, 1000, 0), layout.blocks_for(1 << 30));
}

TEST(CacheSize, TooSmallForOneSequenceSaysWhatWouldFit) {
  const kv::KvLayout layout = uniform_layout(config(), KvDtype::bfloat16);
  const std::int64_t given = layout.bytes_per_block() * 3 + 1;
  const Error error = tests::error_of([&] { choose_num_blocks(layout, {128, 512}, 4, given); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  for (const std::int64_t number : {std::int64_t{128}, 8 * layout.bytes_per_block(), given, std::int64_t{48}})
    EXPECT_NE(error.message().find(std::to_string(number)), std::string::npos) << error.message();
  EXPECT_EQ(tests::error_of([&] {
              choose_num_blocks(layout, {128, 512}, 4, 1);
            }).code(),
            ErrorCode::out_of_memory);
}

// A layer whose window no sequence can outgrow is like any other.
TEST(CacheSize, OnlyLayersWithAShortWindowGiveBlocksBack) {
  model::ModelConfig windowed = config();
  windowed.layers.resize(2);
  windowed.layers[1].sliding_window = windowed.sliding_window = 40;
  const CacheChoice choice =
      choose_cache({.kv_cache_dtype = "fp8", .kv_cache_dtype_skip_layers = {"sliding_window"}}, windowed, {});
  EXPECT_FALSE(engine_layout(windowed, choice, 16, 40).has_windows());
  const kv::KvLayout layout = engine_layout(windowed, choice, 16, 128);
  EXPECT_EQ(layout.groups(), (std::vector<kv::KvGroup>{{0, {0}}, {40, {1}}}));
  EXPECT_EQ(layout.layers[1].k, KvDtype::float16);

  // Eight blocks for 128 tokens; the window keeps 3 + 2 of a sequence, and a step of 16 adds one.
  const std::int64_t full = 16 * 2 * 3 * 64, windowed_block = 2 * full;
  EXPECT_EQ(choose_num_blocks(layout, {128, 16}, 4, 0), 8 * 4);
  EXPECT_EQ(choose_num_blocks(layout, {128, 16}, 4, 16 * full + 11 * windowed_block), 16);
  EXPECT_EQ(choose_num_blocks(layout, {128, 16}, 4, 16 * full + 11 * windowed_block - 1), 15);
  const Error error = tests::error_of([&] {
    choose_num_blocks(layout, {128, 16}, 4, 8 * full + 6 * windowed_block - 1);
  });
  for (const std::int64_t number : {8 * full + 6 * windowed_block, std::int64_t{112}})
    EXPECT_NE(error.message().find(std::to_string(number)), std::string::npos) << error.message();
}

TEST(CacheSize, RefusesMoreThanTheMachineHas) {
  const kv::KvLayout layout = uniform_layout(config(), KvDtype::bfloat16);
  const std::int64_t given = std::int64_t{1} << 60;
  const Error error = tests::error_of([&] { choose_num_blocks(layout, {128, 512}, 4, given); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_NE(error.message().find(std::to_string(given)), std::string::npos) << error.message();
}

TEST(CacheSize, RefusesNegativeBytes) {
  const kv::KvLayout layout = uniform_layout(config(), KvDtype::bfloat16);
  EXPECT_EQ(tests::error_of([&] {
              choose_num_blocks(layout, {128, 512}, 4, -1);
            }).code(),
            ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace octet::llm
