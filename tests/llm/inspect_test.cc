#include <gtest/gtest.h>
#include <octet/inspect.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "files/gguf_builder.h"
#include "files/safetensors_builder.h"
#include "llm/tiny_llm.h"

namespace octet {
namespace {

tests::TinyOptions with_scales(float last_v) {
  tests::TinyOptions tiny;
  tiny.bfloat16 = true;
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".self_attn.";
    tiny.extra_tensors.push_back({prefix + "k_scale", {1}, {0.5f}});
    tiny.extra_tensors.push_back({prefix + "v_scale", {1}, {layer == 1 ? last_v : 0.25f}});
  }
  return tiny;
}

TEST(Inspect, DescribesShapesWeightsAndCosts) {
  tests::ScratchFolder folder;
  const CheckpointInfo info = inspect_checkpoint(tests::write_tiny_llm(folder.path()));
  EXPECT_EQ(info.architecture, "LlamaForCausalLM");
  EXPECT_EQ(info.num_layers, 2);
  EXPECT_EQ(info.num_kv_heads, 2);
  EXPECT_EQ(info.head_dim, 16);
  EXPECT_EQ(info.vocab_size, tests::kTinyVocabSize);
  EXPECT_EQ(info.dtype, "float32");
  // 2 embeddings, the last norm, and for each layer q, k, v, o, two norms and three MLP matrices.
  const std::int64_t per_layer = 32 * (64 + 32 + 32 + 64) + 2 * 32 + 3 * 32 * 64;
  EXPECT_EQ(info.num_parameters, 2 * 264 * 32 + 32 + 2 * per_layer);
  EXPECT_EQ(info.weight_bytes, 4 * info.num_parameters);
  ASSERT_EQ(info.weight_dtypes.size(), 1u);
  EXPECT_EQ(info.weight_dtypes[0].dtype, "F32");
  ASSERT_EQ(info.cache_costs.size(), kv_cache_dtype_names().size() - 1);  // fp8 is fp8_e4m3
  EXPECT_EQ(info.cache_costs[0].dtype, "float32");
  EXPECT_EQ(info.cache_costs[0].bytes_per_token, 2 * 2 * 2 * 16 * 4);
  EXPECT_EQ(info.cache_costs[1].bytes_per_token, 2 * 2 * 2 * 16);
  EXPECT_EQ(info.cache_costs[1].bytes_per_sequence, 256 * info.cache_costs[1].bytes_per_token);
  EXPECT_EQ(info.tokenizer_error, "");
  EXPECT_EQ(info.eos_token, "<|end|>");
  EXPECT_EQ(info.eos_token_ids, (std::vector<std::int32_t>{256}));
  EXPECT_TRUE(info.has_chat_template);
}

TEST(Inspect, CostsFollowTheLayersAndPartsAskedFor) {
  tests::ScratchFolder folder;
  const CheckpointInfo info =
      inspect_checkpoint(tests::write_tiny_llm(folder.path()),
                         {.kv_cache_dtype_k = "bfloat16", .kv_cache_dtype_skip_layers = {"0"}});
  EXPECT_EQ(info.cache_costs[1].kv_cache_dtype, "fp8_e4m3");
  EXPECT_EQ(info.cache_costs[1].dtype, "float32 (1 layer), k bfloat16, v fp8_e4m3 (1 layer)");
  EXPECT_EQ(info.cache_costs[1].bytes_per_token, 2 * 16 * (4 + 4 + 2 + 1));
}

TEST(Inspect, LayersWithAWindowAreAGroupWithABoundedCost) {
  tests::ScratchFolder folder;
  tests::TinyOptions tiny;
  tiny.extra_config = R"("sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"])";
  tiny.max_position_embeddings = 2048;
  const CheckpointInfo info = inspect_checkpoint(tests::write_tiny_llm(folder.path(), tiny),
                                                 {.kv_cache_dtype_skip_layers = {"sliding_window"}});
  const KvCacheCost& cost = info.cache_costs[1];
  EXPECT_EQ(cost.dtype, "float32 (1 layer), fp8_e4m3 (1 layer)");
  ASSERT_EQ(cost.groups.size(), 2u);
  EXPECT_EQ(cost.groups[0].layers, std::vector<int>{1});
  EXPECT_EQ(cost.groups[0].dtype, "fp8_e4m3");
  EXPECT_EQ(cost.groups[0].bytes_per_token, 2 * 2 * 16);
  EXPECT_EQ(cost.groups[1].window, 32);
  EXPECT_EQ(cost.groups[1].layers, std::vector<int>{0});
  EXPECT_EQ(cost.groups[1].dtype, "float32");
  EXPECT_EQ(cost.groups[1].bytes_per_token, 4 * 2 * 2 * 16);
  // The window's blocks, one to begin in, one to go on in, and those of a step of 512 tokens.
  EXPECT_EQ(cost.bytes_per_sequence, 2048 * 64 + (1 + 2 + 8) * 64 * 256);
  const std::int64_t sequences = cost.tokens_in_1_gib / 2048;
  EXPECT_NEAR(static_cast<double>(sequences), (1 << 30) / (2048.0 * 64 + 3 * 64 * 256), 2.0);
}

TEST(Inspect, SaysWhichLayersLackScales) {
  tests::ScratchFolder folder;
  const CheckpointInfo info = inspect_checkpoint(tests::write_tiny_llm(folder.path()));
  EXPECT_TRUE(info.scales.empty());
  EXPECT_EQ(info.scale_strategy, "none");
  EXPECT_EQ(info.layers_without_k, (std::vector<int>{0, 1}));
  EXPECT_EQ(info.layers_without_v, (std::vector<int>{0, 1}));
}

TEST(Inspect, ListsTheScalesThatItFinds) {
  tests::ScratchFolder folder;
  const CheckpointInfo info = inspect_checkpoint(tests::write_tiny_llm(folder.path(), with_scales(0.125f)));
  EXPECT_EQ(info.scale_error, "");
  EXPECT_EQ(info.scale_strategy, "tensor");
  ASSERT_EQ(info.scales.size(), 4u);
  EXPECT_TRUE(info.layers_without_k.empty());
  std::vector<float> values;
  for (const KvScaleInfo& scale : info.scales) {
    EXPECT_TRUE(scale.used);
    values.insert(values.end(), scale.values.begin(), scale.values.end());
  }
  EXPECT_EQ(std::count(values.begin(), values.end(), 0.125f), 1);
}

TEST(Inspect, ReportsBadScalesInsteadOfFailing) {
  tests::ScratchFolder folder;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const CheckpointInfo info = inspect_checkpoint(tests::write_tiny_llm(folder.path(), with_scales(nan)));
  EXPECT_NE(info.scale_error.find("model.layers.1.self_attn.v_scale"), std::string::npos) << info.scale_error;
  ASSERT_EQ(info.scales.size(), 4u);  // all of them, the good ones too
  for (const KvScaleInfo& scale : info.scales) EXPECT_FALSE(scale.used);
}

TEST(Inspect, SaysHowItTakesAGgufFileThatLeavesAWindowOpen) {
  tests::TempFolder folder;
  const auto warnings = [&](bool has_key) {
    tests::GgufBuilder phi3;
    phi3.text("general.architecture", "phi3")
        .number("phi3.embedding_length", 32)
        .number("phi3.feed_forward_length", 64)
        .number("phi3.block_count", 1)
        .number("phi3.attention.head_count", 4)
        .number("phi3.context_length", 128)
        .real("phi3.attention.layer_norm_rms_epsilon", 1e-5f)
        .tensor("token_embd.weight", 0, {5, 32}, std::string(640, '\0'));
    if (has_key) phi3.number("phi3.attention.sliding_window", 16);
    return inspect_checkpoint(folder.write("model.gguf", phi3.finish())).warnings;
  };
  EXPECT_TRUE(warnings(true).empty());
  ASSERT_EQ(warnings(false).size(), 1u);
  EXPECT_NE(warnings(false)[0].find("no layer has a window"), std::string::npos);
}

TEST(Inspect, NamesAWeightThatIsMissing) {
  tests::ScratchFolder folder;
  const std::string model = tests::write_tiny_llm(folder.path());
  EXPECT_EQ(inspect_checkpoint(model).weights_error, "");
  tests::TinyOptions larger;
  larger.vocab_size = tests::kTinyVocabSize;
  larger.num_layers = 3;
  tests::tiny::write_file(folder.path() / "config.json", tests::tiny::config_json(larger));
  const CheckpointInfo info = inspect_checkpoint(model);
  EXPECT_NE(info.weights_error.find("model.layers.2.input_layernorm.weight"), std::string::npos)
      << info.weights_error;
  EXPECT_EQ(info.num_layers, 3);  // the rest is described all the same
}

TEST(Inspect, ReportsABadTokenizerInsteadOfFailing) {
  tests::ScratchFolder folder;
  const std::string model = tests::write_tiny_llm(folder.path());
  tests::tiny::write_file(folder.path() / "tokenizer.json", "{");
  EXPECT_NE(inspect_checkpoint(model).tokenizer_error.find("tokenizer.json"), std::string::npos);
}

TEST(Inspect, FailsWhereThereIsNoCheckpoint) {
  tests::ScratchFolder folder;
  EXPECT_EQ(tests::error_of([&] { inspect_checkpoint(folder.path().string()); }).code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace octet
