#include "llm/key_offsets.h"

#include <gtest/gtest.h>
#include <octet/inspect.h>

#include <string>

#include "model/sequence_runner.h"

namespace octet::llm {
namespace {

std::string folder(const std::string& family) { return OCTET_SOURCE_DIR "/tests/data/tiny/" + family; }

std::string describe(const std::string& family, KvDtype k) {
  tests::SequenceRunner runner(folder(family), {});
  const model::ModelConfig& c = runner.config();
  return describe_key_offsets(c, runner.model().weights(),
                              {c.num_layers, c.num_kv_heads, c.head_dim, 16, k, KvDtype::fp8_e4m3});
}

TEST(KeyOffsets, AreNamedWhereFp8LosesThem) {
  const std::string notice = describe("qwen2", KvDtype::fp8_e4m3);
  EXPECT_NE(notice.find("1 of 3 layers"), std::string::npos) << notice;
  EXPECT_NE(notice.find("layer 0"), std::string::npos) << notice;
  EXPECT_NE(notice.find("int8_hadamard_per_token_head"), std::string::npos) << notice;
  EXPECT_NE(describe("qwen2", KvDtype::fp8_e5m2), "");
  EXPECT_NE(describe("qwen2", KvDtype::fp8_per_token_head), "");
}

TEST(KeyOffsets, AreNoMatterToOtherCachesAndModels) {
  for (const KvDtype dtype :
       {KvDtype::float16, KvDtype::int8_per_token_head, KvDtype::int8_hadamard_per_token_head})
    EXPECT_EQ(describe("qwen2", dtype), "");
  for (const char* family : {"llama", "qwen3", "gemma3", "phi3", "smollm3"})
    EXPECT_EQ(describe(family, KvDtype::fp8_e4m3), "") << family;
}

TEST(KeyOffsets, AreAWarningOfInspect) {
  const CheckpointInfo info = inspect_checkpoint(folder("qwen2"));
  ASSERT_EQ(info.warnings.size(), 1u);
  EXPECT_NE(info.warnings[0].find("biases of keys"), std::string::npos);
  EXPECT_TRUE(inspect_checkpoint(folder("llama")).warnings.empty());
}

}  // namespace
}  // namespace octet::llm
