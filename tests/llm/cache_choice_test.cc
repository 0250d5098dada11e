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

TEST(CacheChoice, AutoTakesTheModelsDtypeWithoutScalesOrNotices) {
  const CacheChoice choice = choose_cache("auto", config(), {});
  EXPECT_EQ(choice.dtype, KvDtype::float16);
  EXPECT_EQ(choice.scale_strategy, "none");
  EXPECT_EQ(choice.scale_source, "not needed");
  EXPECT_TRUE(choice.notices.empty());
}

TEST(CacheChoice, AutoTakesWhatTheCheckpointAsksForAndSaysSo) {
  model::KvScaleReport report = with_scales();
  report.requested_dtype = KvDtype::fp8_e4m3;
  report.quant_method = "compressed-tensors";
  const CacheChoice choice = choose_cache("auto", config(), report);
  EXPECT_EQ(choice.dtype, KvDtype::fp8_e4m3);
  EXPECT_EQ(choice.scales.layers[1].k[0], 0.5f);
  EXPECT_EQ(choice.scale_source, "checkpoint (4 tensors)");
  ASSERT_EQ(choice.notices.size(), 2u);
  EXPECT_NE(choice.notices[0].find("compressed-tensors"), std::string::npos) << choice.notices[0];
}

TEST(CacheChoice, Fp8IsE4m3) {
  EXPECT_EQ(choose_cache("fp8", config(), {}).dtype, KvDtype::fp8_e4m3);
  EXPECT_EQ(choose_cache("fp8_e4m3", config(), {}).dtype, KvDtype::fp8_e4m3);
  EXPECT_EQ(choose_cache("fp8_e5m2", config(), {}).dtype, KvDtype::fp8_e5m2);
}

TEST(CacheChoice, WithoutScalesItIsOneAndExactlyOneNotice) {
  const CacheChoice choice = choose_cache("fp8_e5m2", config(), {});
  EXPECT_EQ(choice.scale_source, "none found: 1.0");
  ASSERT_EQ(choice.notices.size(), 1u);
  EXPECT_NE(choice.notices[0].find("1.0"), std::string::npos);
  for (const kv::LayerScales& layer : choice.scales.layers) EXPECT_EQ(layer.k, std::vector<float>(3, 1.0f));
}

TEST(CacheChoice, A16BitCacheSaysThatItNeedsNoScales) {
  const CacheChoice choice = choose_cache("auto", config(), with_scales());
  EXPECT_EQ(choice.dtype, KvDtype::float16);
  EXPECT_EQ(choice.scales.layers[1].k[0], 1.0f);
  ASSERT_EQ(choice.notices.size(), 1u);
  EXPECT_NE(choice.notices[0].find("not needed"), std::string::npos);
}

TEST(CacheChoice, ScalesMadeForTheOtherFormatAreUsedWithANotice) {
  model::KvScaleReport report = with_scales();
  report.requested_dtype = KvDtype::fp8_e4m3;
  const CacheChoice choice = choose_cache("fp8_e5m2", config(), report);
  EXPECT_EQ(choice.scales.layers[1].k[0], 0.5f);
  ASSERT_EQ(choice.notices.size(), 2u);
  EXPECT_NE(choice.notices[1].find("fp8_e4m3"), std::string::npos);
}

TEST(CacheChoice, RefusesAnUnknownDtype) {
  for (const char* bad : {"", "int8", "FP8", "fp8_e3m4"}) {
    const Error error = tests::error_of([&] { choose_cache(bad, config(), {}); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.context(), "kv_cache_dtype");
  }
}

TEST(CacheSize, IsWhatTheBytesHold) {
  const kv::KvLayout layout = cache_layout(config(), KvDtype::fp8_e4m3, 16);
  EXPECT_EQ(choose_num_blocks(layout, 128, 4, layout.bytes_per_block() * 11 + 5), 11);
}

TEST(CacheSize, DefaultsToMaxNumSeqsSequencesWhereMemoryAllows) {
  const kv::KvLayout layout = cache_layout(config(), KvDtype::fp8_e4m3, 16);
  EXPECT_EQ(choose_num_blocks(layout, 100, 4, 0), 7 * 4);
}

TEST(CacheSize, IsNeverLessThanOneSequenceByDefault) {
  model::ModelConfig huge = config();
  huge.max_position_embeddings = 1 << 30;
  const kv::KvLayout layout = cache_layout(huge, KvDtype::bfloat16, 16);
  EXPECT_EQ(choose_num_blocks(layout, 1 << 30, 1000, 0), layout.blocks_for(1 << 30));
}

TEST(CacheSize, TooSmallForOneSequenceSaysWhatWouldFit) {
  const kv::KvLayout layout = cache_layout(config(), KvDtype::bfloat16, 16);
  const std::int64_t given = layout.bytes_per_block() * 3 + 1;
  const Error error = tests::error_of([&] { choose_num_blocks(layout, 128, 4, given); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  for (const std::int64_t number : {std::int64_t{128}, 8 * layout.bytes_per_block(), given, std::int64_t{48}})
    EXPECT_NE(error.message().find(std::to_string(number)), std::string::npos) << error.message();
  EXPECT_EQ(tests::error_of([&] { choose_num_blocks(layout, 128, 4, 1); }).code(), ErrorCode::out_of_memory);
}

TEST(CacheSize, RefusesNegativeBytes) {
  const kv::KvLayout layout = cache_layout(config(), KvDtype::bfloat16, 16);
  EXPECT_EQ(tests::error_of([&] { choose_num_blocks(layout, 128, 4, -1); }).code(),
            ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace octet::llm
