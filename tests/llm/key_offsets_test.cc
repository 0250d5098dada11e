#include "llm/key_offsets.h"

#include <gtest/gtest.h>
#include <octet/evaluation.h>
#include <octet/inspect.h>
#include <octet/llm.h>

#include <algorithm>
#include <string>
#include <vector>

#include "files/json_value.h"
#include "llm/tiny_family.h"
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

int offsets_named(const std::vector<std::string>& notices) {
  return static_cast<int>(std::count_if(notices.begin(), notices.end(), [](const std::string& notice) {
    return notice.find("biases of keys") != std::string::npos;
  }));
}

// Scales do not cure them, so those that a warm-up calculates are no reason to be silent.
TEST(KeyOffsets, AreNamedAtEveryStartWhateverTheScales) {
  tests::ScratchFolder scratch;
  LLMOptions options{.model = tests::write_tiny_family(scratch.path(), "qwen2"), .threads = 1};
  options.kv_cache_dtype = "fp8";
  for (const char* scales : {"false", "random", "prompt", "bound"}) {
    options.calculate_kv_scales = scales;
    EXPECT_EQ(offsets_named(LLM(options).notices()), 1) << scales;
  }
  options.calculate_kv_scales = false;
  for (const char* dtype : {"auto", "int8_per_token_head", "int8_hadamard_per_token_head"}) {
    options.kv_cache_dtype = dtype;
    EXPECT_EQ(offsets_named(LLM(options).notices()), 0) << dtype;
  }
}

TEST(KeyOffsets, AnEvaluationNamesThemAndShowsWhatHoldsThem) {
  tests::ScratchFolder scratch;
  EvaluationOptions options{.model = tests::write_tiny_family(scratch.path(), "qwen2")};
  const std::vector<std::string> ruined = {"fp8_e4m3",          "fp8+scales=random",
                                           "fp8+scales=prompt", "fp8+scales=bound+strategy=attn_head",
                                           "fp8_e5m2",          "fp8_per_token_head"};
  options.configs = ruined;
  options.configs.insert(options.configs.end(), {"int8_per_token_head", "int8_hadamard_per_token_head"});
  options.drift_prompts = options.layer_tokens = 0;
  options.threads = 1;
  std::vector<std::int32_t> ids;
  for (const files::JsonValue& id :
       files::JsonValue::read_file(folder("qwen2") + "/golden.json").at("ids").elements())
    ids.push_back(static_cast<std::int32_t>(id.as_int()));
  options.documents = {ids};
  const EvaluationResult result = run_evaluation(options);
  EXPECT_EQ(offsets_named(result.notices), static_cast<int>(ruined.size()));
  ASSERT_EQ(result.configs.size(), ruined.size() + 3);  // the baseline comes first
  const auto kl = [&](std::size_t i) { return result.configs[i].likelihood->kl.mean; };
  for (std::size_t i = 1; i <= ruined.size(); ++i) EXPECT_GT(kl(i), 0.1) << result.configs[i].name;
  EXPECT_LT(kl(ruined.size() + 1), 0.05);
  EXPECT_LT(kl(ruined.size() + 2), 0.02);
}

}  // namespace
}  // namespace octet::llm
