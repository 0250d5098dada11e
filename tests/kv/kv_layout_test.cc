#include "kv/kv_layout.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "base/error.h"

namespace octet::kv {
namespace {

// SmolLM2-135M: 30 layers of 3 KV heads of 64.
KvLayout smollm2(KvDtype dtype, int block_size = 16) { return {30, 3, 64, block_size, dtype, dtype}; }

TEST(KvLayout, BytesOfAToken) {
  EXPECT_EQ(smollm2(KvDtype::fp8_e4m3).bytes_per_token(), 11520);
  EXPECT_EQ(smollm2(KvDtype::fp8_e5m2).bytes_per_token(), 11520);
  EXPECT_EQ(smollm2(KvDtype::bfloat16).bytes_per_token(), 23040);
  EXPECT_EQ(smollm2(KvDtype::float16).bytes_per_token(), 23040);
  EXPECT_EQ(smollm2(KvDtype::float32).bytes_per_token(), 46080);
  // Llama-3.1-70B: 80 layers of 8 KV heads of 128.
  EXPECT_EQ((KvLayout{80, 8, 128, 16, KvDtype::fp8_e4m3, KvDtype::fp8_e4m3}.bytes_per_token()), 163840);
}

TEST(KvLayout, KAndVMayDifferInDtype) {
  const KvLayout layout{2, 4, 32, 8, KvDtype::fp8_e4m3, KvDtype::bfloat16};
  EXPECT_EQ(layout.k_block_bytes(1), 8 * 4 * 32);
  EXPECT_EQ(layout.v_block_bytes(1), 8 * 4 * 32 * 2);
  EXPECT_EQ(layout.bytes_per_block(), 2 * (8 * 4 * 32 * 3));
  EXPECT_EQ(layout.bytes_per_token(), 2 * (4 * 32 * 3));
}

TEST(KvLayout, LayersMayDifferInDtype) {
  KvLayout layout{3, 4, 32, 8, KvDtype::fp8_e4m3, KvDtype::fp8_e4m3};
  EXPECT_EQ(layout.describe_dtypes(), "fp8_e4m3");
  layout.layers[0] = {KvDtype::float16, KvDtype::float16};
  EXPECT_EQ(layout.k_block_bytes(0), 8 * 4 * 32 * 2);
  EXPECT_EQ(layout.k_block_bytes(2), 8 * 4 * 32);
  EXPECT_EQ(layout.bytes_per_token(), 4 * 32 * (2 * 2 + 2 * 1 + 2 * 1));
  EXPECT_EQ(layout.bytes_per_block(), 8 * layout.bytes_per_token());
  EXPECT_EQ(layout.describe_dtypes(), "fp8_e4m3 (2 layers), float16 (1 layer)");
  layout.layers[1] = {KvDtype::float16, KvDtype::fp8_e5m2};
  EXPECT_EQ(layout.describe_dtypes(), "float16 (1 layer), k float16, v fp8_e5m2 (1 layer), fp8_e4m3 (1 layer)");
}

// Two bytes of scale beside each key and each value of a head: 3.1% of SmolLM2's 64 numbers.
TEST(KvLayout, VectorScalesAreInTheBlock) {
  for (const int block_size : {8, 16, 128}) {
    const KvLayout layout = smollm2(KvDtype::int8_per_token_head, block_size);
    EXPECT_EQ(layout.bytes_per_token(), 30 * 3 * 2 * (64 + 2));
    EXPECT_EQ(layout.k_block_bytes(0), block_size * 3 * (64 + 2));
  }
  EXPECT_EQ(
      (KvLayout{30, 3, 64, 16, KvDtype::int8_hadamard_per_token_head, KvDtype::fp8_e4m3}.bytes_per_token()),
      30 * 3 * (2 * 64 + 2));
}

TEST(KvLayout, ABlockIsItsTokens) {
  for (const int block_size : {8, 16, 32, 64, 128}) {
    const KvLayout layout = smollm2(KvDtype::fp8_e4m3, block_size);
    EXPECT_NO_THROW(layout.validate());
    EXPECT_EQ(layout.bytes_per_block(), block_size * layout.bytes_per_token());
    EXPECT_EQ(layout.bytes_per_token(), 11520);
  }
}

TEST(KvLayout, BlocksForTokensRoundUp) {
  const KvLayout layout = smollm2(KvDtype::bfloat16, 16);
  EXPECT_EQ(layout.blocks_for(0), 0);
  EXPECT_EQ(layout.blocks_for(1), 1);
  EXPECT_EQ(layout.blocks_for(16), 1);
  EXPECT_EQ(layout.blocks_for(17), 2);
  EXPECT_EQ(layout.blocks_for(std::int64_t{1} << 40), std::int64_t{1} << 36);
}

TEST(KvLayout, LargeShapesDoNotOverflow) {
  const KvLayout layout{1000, 128, 512, 128, KvDtype::float32, KvDtype::float32};
  EXPECT_EQ(layout.bytes_per_block(), std::int64_t{1000} * 128 * 512 * 128 * 8);
}

TEST(KvLayout, RefusesWhatIsNotACacheAndNamesTheField) {
  const auto refusal = [](KvLayout layout) -> std::string {
    try {
      layout.validate();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      return error.what();
    }
    return "";
  };
  KvLayout layout = smollm2(KvDtype::fp8_e4m3);
  layout.layers.clear();
  EXPECT_NE(refusal(layout).find("num_layers"), std::string::npos);
  layout = smollm2(KvDtype::fp8_e4m3);
  layout.num_kv_heads = -1;
  EXPECT_NE(refusal(layout).find("num_kv_heads: expected 1 or more, found -1"), std::string::npos);
  layout = smollm2(KvDtype::fp8_e4m3);
  layout.head_dim = 0;
  EXPECT_NE(refusal(layout).find("head_dim"), std::string::npos);
  for (const int block_size : {0, -16, 1, 12, 24, 256, std::numeric_limits<int>::max()}) {
    EXPECT_NE(refusal(smollm2(KvDtype::fp8_e4m3, block_size)).find(std::to_string(block_size)),
              std::string::npos);
  }
}

TEST(KvLayout, LayersAreGroupedByTheirWindow) {
  KvLayout layout{5, 2, 16, 16, KvDtype::fp8_e4m3, KvDtype::fp8_e4m3};
  EXPECT_FALSE(layout.has_windows());
  EXPECT_EQ(layout.groups(), (std::vector<KvGroup>{{0, {0, 1, 2, 3, 4}}}));
  layout.windows = {512, 0, 64, 512, 0};
  layout.layers[2] = {KvDtype::float16, KvDtype::float16};
  EXPECT_NO_THROW(layout.validate());
  EXPECT_TRUE(layout.has_windows());
  EXPECT_EQ(layout.groups(), (std::vector<KvGroup>{{0, {1, 4}}, {64, {2}}, {512, {0, 3}}}));
  EXPECT_EQ(layout.bytes_per_block(layout.groups()[0]), 2 * 16 * 2 * 16 * 2);
  EXPECT_EQ(layout.bytes_per_block(layout.groups()[1]), 16 * 2 * 16 * 2 * 2);
  for (const std::vector<int>& windows : {std::vector<int>{1, 2}, {0, 0, -1, 0, 0}}) {
    layout.windows = windows;
    EXPECT_THROW(layout.validate(), Error);
  }
}

}  // namespace
}  // namespace octet::kv
