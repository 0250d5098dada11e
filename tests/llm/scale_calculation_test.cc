// calculate_kv_scales through the public API.
#include <gtest/gtest.h>
#include <octet/llm.h>

#include <string>
#include <vector>

#include "llm/tiny_llm.h"

namespace octet::tests {
namespace {

LLMOptions calculating(CalculateKvScales from, const std::string& strategy = "tensor") {
  LLMOptions options;
  options.kv_cache_dtype = "fp8";
  options.calculate_kv_scales = std::move(from);
  options.kv_scale_strategy = strategy;
  return options;
}

const SamplingParams kTwelveTokens{.temperature = 0, .ignore_eos = true, .max_tokens = 12};

std::vector<std::int32_t> answer_ids(LLM& llm, const std::string& prompt) {
  return llm.generate(prompt, kTwelveTokens).outputs.front().token_ids;
}

TEST(ScaleCalculation, TrueIsRandomTokensAndSaysSo) {
  TinyLlm tiny(calculating(true));
  const KvCacheStats stats = tiny.llm.kv_cache_stats();
  EXPECT_EQ(stats.scale_source, "calculated from 256 random tokens");  // max_model_len, below 512
  EXPECT_EQ(stats.scale_strategy, "tensor");
  EXPECT_EQ(stats.stored_values, 0);  // what the scales came from was not stored
  ASSERT_EQ(tiny.llm.notices().size(), 1u);
  EXPECT_EQ(tiny.llm.notices()[0],
            "KV scales: calculated from 256 random tokens, strategy tensor; fixed from here on");
  const std::vector<std::int32_t> answer = answer_ids(tiny.llm, "one");
  EXPECT_GT(tiny.llm.kv_cache_stats().stored_values.value(), 0);
  EXPECT_EQ(tiny.llm.kv_cache_stats().saturated_values, 0);
  EXPECT_EQ(answer_ids(tiny.llm, "one"), answer);  // fixed
  TinyLlm again(calculating("random"));
  EXPECT_EQ(answer_ids(again.llm, "one"), answer);  // the same seed
}

TEST(ScaleCalculation, TheFirstPromptDecidesOnceWhateverItsBatch) {
  TinyLlm alone(calculating("prompt", "attn_head"));
  EXPECT_EQ(alone.llm.kv_cache_stats().scale_source, "to be calculated from the first prompt");
  EXPECT_TRUE(alone.llm.notices().empty());
  const RequestOutput output = alone.llm.generate("a prompt", kTwelveTokens);
  const std::string source =
      "calculated from the first prompt (" + std::to_string(output.prompt_token_ids.size()) + " tokens)";
  EXPECT_EQ(alone.llm.kv_cache_stats().scale_source, source);
  ASSERT_EQ(alone.llm.notices().size(), 1u);
  EXPECT_EQ(alone.llm.notices()[0], "KV scales: " + source + ", strategy attn_head; fixed from here on");
  answer_ids(alone.llm, "another, longer prompt");
  EXPECT_EQ(alone.llm.kv_cache_stats().scale_source, source);
  EXPECT_EQ(alone.llm.notices().size(), 1u);

  TinyLlm batched(calculating("prompt", "attn_head"));
  const auto outputs = batched.llm.generate({"a prompt", "something else", "and more of it"}, kTwelveTokens);
  EXPECT_EQ(outputs[0].outputs[0].token_ids, output.outputs[0].token_ids);
}

TEST(ScaleCalculation, ALongFirstPromptCountsAsFarAsItsFirstStep) {
  LLMOptions options = calculating("prompt");
  options.max_num_batched_tokens = 40;
  TinyLlm tiny(options);
  tiny.llm.generate(std::string(100, 'x'), kTwelveTokens);
  EXPECT_EQ(tiny.llm.kv_cache_stats().scale_source, "calculated from the first prompt (40 tokens)");
}

TEST(ScaleCalculation, AnInterruptedFirstPromptLeavesItToTheNext) {
  TinyLlm tiny(calculating("prompt"));
  EXPECT_THROW(tiny.llm.generate("", kTwelveTokens), Error);
  EXPECT_EQ(tiny.llm.kv_cache_stats().scale_source, "to be calculated from the first prompt");
  tiny.llm.generate(std::vector<std::int32_t>{1, 2, 3}, kTwelveTokens);
  EXPECT_EQ(tiny.llm.kv_cache_stats().scale_source, "calculated from the first prompt (3 tokens)");
}

TEST(ScaleCalculation, TheBoundNeedsNoTokens) {
  TinyLlm tiny(calculating("bound", "attn_head"));
  EXPECT_EQ(tiny.llm.kv_cache_stats().scale_source, "calculated from the weights");
  EXPECT_EQ(tiny.llm.kv_cache_stats().saturated_values, std::nullopt);  // there can be none
  EXPECT_EQ(answer_ids(tiny.llm, "one").size(), 12u);
}

TEST(ScaleCalculation, TakesThePlaceOfTheCheckpointsScalesWithOneLine) {
  TinyOptions o;
  for (int layer = 0; layer < o.num_layers; ++layer)
    for (const char* which : {"k", "v"})
      o.extra_tensors.push_back(
          {"model.layers." + std::to_string(layer) + ".self_attn." + which + "_scale", {1}, {0x1p-30f}});
  TinyLlm with(calculating(true), o);
  ASSERT_EQ(with.llm.notices().size(), 2u);
  EXPECT_EQ(
      with.llm.notices()[0],
      "the checkpoint's 4 KV scale tensors are not used: others are calculated, as calculate_kv_scales asks");
  TinyLlm without(calculating(true));
  EXPECT_EQ(answer_ids(with.llm, "one"), answer_ids(without.llm, "one"));
}

std::string refusal_of(LLMOptions options) {
  return error_of([&] { TinyLlm tiny(std::move(options)); }).what();
}

TEST(ScaleCalculation, RefusesWhatMakesNoSense) {
  EXPECT_EQ(refusal_of(calculating("often")),
            "calculate_kv_scales: expected random (or true), prompt, bound or false, found 'often'");
  EXPECT_EQ(refusal_of(calculating(true, "channel")),
            "kv_scale_strategy: expected tensor or attn_head, found 'channel'");
  EXPECT_EQ(
      refusal_of(calculating(false, "attn_head")),
      "kv_scale_strategy: has a meaning only with calculate_kv_scales; the checkpoint's scales are as they "
      "are");
  LLMOptions sixteen = calculating("prompt");
  sixteen.kv_cache_dtype = "float16";
  EXPECT_EQ(refusal_of(sixteen),
            "calculate_kv_scales: expected a cache that takes scales (kv_cache_dtype fp8), found float16");
}

}  // namespace
}  // namespace octet::tests
