#include "llm/attention_math_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "llm/tiny_llm.h"

namespace octet::llm {
namespace {

using kernels::AttentionMath;
using tests::error_of;
using tests::TinyLlm;
using tests::TinyOptions;

CacheChoice choice_of(int layers, int kv_heads) {
  CacheChoice choice;
  choice.scales = kv::KvScales::ones(layers, kv_heads);
  return choice;
}

kv::KvLayout layout_of(KvDtype k, KvDtype v) { return kv::KvLayout(3, 2, 16, 16, k, v); }

TEST(AttentionMathChoice, EveryNameIsKnown) {
  EXPECT_EQ(attention_math_names(),
            (std::vector<std::string>{"fp32", "fp8", "fp8-hopper", "fp8-hopper-plain"}));
  const kv::KvLayout layout = layout_of(KvDtype::fp8_e4m3, KvDtype::fp8_e5m2);
  CacheChoice choice = choice_of(3, 2);
  EXPECT_EQ(choose_attention_math("fp32", layout, choice), AttentionMath::fp32);
  EXPECT_TRUE(choice.notices.empty());
  EXPECT_EQ(choose_attention_math("fp8", layout, choice), AttentionMath::fp8);
  EXPECT_EQ(choose_attention_math("fp8-hopper", layout, choice), AttentionMath::fp8_hopper);
  EXPECT_EQ(choose_attention_math("fp8-hopper-plain", layout, choice), AttentionMath::fp8_hopper_plain);
  const Error error = error_of([&] { choose_attention_math("fp4", layout, choice); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error.context(), "attention_math");
  EXPECT_NE(std::string(error.what()).find("expected fp32, fp8, fp8-hopper or fp8-hopper-plain, found 'fp4'"),
            std::string::npos);
}

TEST(AttentionMathChoice, CachesWithoutFp8AreRefused) {
  for (const auto& [k, v] :
       {std::pair(KvDtype::float16, KvDtype::float16), std::pair(KvDtype::fp8_e4m3, KvDtype::float16),
        std::pair(KvDtype::fp8_per_token_head, KvDtype::fp8_per_token_head),
        std::pair(KvDtype::int8_per_token_head, KvDtype::fp8_e4m3)}) {
    const kv::KvLayout layout = layout_of(k, v);
    CacheChoice choice = choice_of(3, 2);
    EXPECT_EQ(choose_attention_math("fp32", layout, choice), AttentionMath::fp32);
    const Error error = error_of([&] { choose_attention_math("fp8", layout, choice); });
    EXPECT_EQ(error.context(), "attention_math");
    EXPECT_NE(std::string(error.what()).find("found " + layout.describe_dtypes()), std::string::npos)
        << error.what();
  }
  // A layer left in 16 bits among FP8 ones is no fault.
  kv::KvLayout layout = layout_of(KvDtype::fp8_e4m3, KvDtype::fp8_e4m3);
  layout.layers[1] = {KvDtype::float16, KvDtype::float16};
  CacheChoice choice = choice_of(3, 2);
  EXPECT_EQ(choose_attention_math("fp8", layout, choice), AttentionMath::fp8);
}

TEST(AttentionMathChoice, TheNoticeSaysWhereQueryScalesComeFrom) {
  kv::KvLayout layout = layout_of(KvDtype::fp8_e4m3, KvDtype::fp8_e4m3);
  CacheChoice choice = choice_of(3, 2);
  const auto notice = [&] {
    choose_attention_math("fp8", layout, choice);
    return choice.notices.back();
  };
  EXPECT_EQ(notice(),
            "attention_math fp8: queries are fp8_e4m3 with a scale of each token and head, as no q scales are "
            "loaded");
  for (kv::LayerScales& layer : choice.scales.layers) layer.q = {0.5f, 0.5f, 0.5f, 0.5f};
  EXPECT_EQ(notice(), "attention_math fp8: queries are fp8_e4m3 with the checkpoint's q scales, tensor");
  choice.scales.layers[2].q[1] = 0.25f;
  EXPECT_EQ(notice(), "attention_math fp8: queries are fp8_e4m3 with the checkpoint's q scales, attn_head");
  choice.scales.layers[0].q.clear();
  EXPECT_EQ(
      notice(),
      "attention_math fp8: queries are fp8_e4m3 with the checkpoint's q scales, attn_head, in 2 layers, and a "
      "scale of each token and head in 1 that have none");
  layout.layers[0] = {KvDtype::float16, KvDtype::float16};  // where nothing is quantised none is missed
  EXPECT_EQ(notice(), "attention_math fp8: queries are fp8_e4m3 with the checkpoint's q scales, attn_head");
}

// What a greedy answer says of its own likelihood, in every digit.
std::vector<float> logprobs(LLM& llm, const std::string& prompt) {
  const SamplingParams params{.temperature = 0, .ignore_eos = true, .max_tokens = 12, .logprobs = 0};
  const RequestOutput output = llm.generate(prompt, params);
  std::vector<float> values;
  for (const auto& token : output.outputs.at(0).logprobs) values.push_back(token.at(0).logprob);
  return values;
}

LLMOptions with_math(const std::string& math, LLMOptions options = {}) {
  options.kv_cache_dtype = "fp8";
  options.attention_math = math;
  return options;
}

// More than a tile of positions, or the two Hopper sums would be the same.
const std::string kPrompt =
    "the quick brown fox jumps over the lazy dog, and over the fence behind it; then it rests for an "
    "hour or two, until the dog wakes up and wants to know who was there";

TEST(AttentionMath, ChangesTheArithmetic) {
  std::vector<std::vector<float>> seen;
  for (const std::string& math : attention_math_names()) {
    TinyLlm tiny(with_math(math));
    seen.push_back(logprobs(tiny.llm, kPrompt));
    for (std::size_t other = 0; other + 1 < seen.size(); ++other) EXPECT_NE(seen.back(), seen[other]) << math;
  }
  TinyLlm plain({.kv_cache_dtype = "fp8"});
  EXPECT_EQ(logprobs(plain.llm, kPrompt), seen[0]);
  EXPECT_EQ(plain.llm.kv_cache_stats().attention_math, "fp32");
  EXPECT_EQ(TinyLlm(with_math("fp8-hopper")).llm.kv_cache_stats().attention_math, "fp8-hopper");
}

// The scales of the checkpoint are taken, of each head its own.
TEST(AttentionMath, TakesTheQueryScalesOfTheCheckpoint) {
  const auto with_scales = [](const std::vector<std::int64_t>& shape, const std::vector<float>& q) {
    TinyOptions tiny;
    for (const char* layer : {"0", "1"})
      for (const char* which : {"q", "k", "v"})
        tiny.extra_tensors.push_back({std::string("model.layers.") + layer + ".self_attn." + which + "_scale",
                                      *which == 'q' ? shape : std::vector<std::int64_t>{1},
                                      *which == 'q' ? q : std::vector<float>{0.05f}});
    return tiny;
  };
  TinyLlm tensor(with_math("fp8"), with_scales({1}, {0.1f}));
  TinyLlm repeated(with_math("fp8"), with_scales({4, 1, 1}, {0.1f, 0.1f, 0.1f, 0.1f}));
  TinyLlm head(with_math("fp8"), with_scales({4, 1, 1}, {0.1f, 0.01f, 0.1f, 0.1f}));
  const std::vector<float> expected = logprobs(tensor.llm, kPrompt);
  EXPECT_EQ(logprobs(repeated.llm, kPrompt), expected);
  EXPECT_NE(logprobs(head.llm, kPrompt), expected);
  TinyLlm ignored(with_math("fp32"), with_scales({1}, {0.1f}));
  TinyLlm other(with_math("fp32"), with_scales({1}, {0.01f}));
  EXPECT_EQ(logprobs(ignored.llm, kPrompt), logprobs(other.llm, kPrompt));
}

// Alone, in a batch, in chunks, with more threads: the same bits.
TEST(AttentionMath, CompanyChangesNoBit) {
  const SamplingParams params{.temperature = 0, .ignore_eos = true, .max_tokens = 20, .logprobs = 0};
  const std::vector<Prompt> prompts = {kPrompt, "a", "hello there, " + kPrompt};
  for (const std::string math : {"fp8", "fp8-hopper", "fp8-hopper-plain"}) {
    TinyLlm tiny(with_math(math));
    TinyLlm chunked(with_math(math, {.max_num_seqs = 3, .max_num_batched_tokens = 7, .threads = 1}));
    const auto together = tiny.llm.generate(prompts, params);
    const auto in_chunks = chunked.llm.generate(prompts, params);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const RequestOutput alone = tiny.llm.generate(prompts[i], params);
      for (std::size_t t = 0; t < 20; ++t) {
        const float expected = alone.outputs[0].logprobs[t][0].logprob;
        EXPECT_EQ(together[i].outputs[0].logprobs[t][0].logprob, expected) << math << i;
        EXPECT_EQ(in_chunks[i].outputs[0].logprobs[t][0].logprob, expected) << math << i;
      }
    }
  }
}

// What an answer's tokens meet one by one a prompt meets all at once: the same tokens have the same likelihood,
// but for what a last bit can do. With a window, over more than one tile.
TEST(AttentionMath, PromptsAndAnswersAgree) {
  for (const std::string math : {"fp32", "fp8", "fp8-hopper", "fp8-hopper-plain"})
    for (const bool window : {false, true}) {
      TinyOptions options;
      if (window) options.extra_config = R"("sliding_window": 40)";
      TinyLlm tiny(with_math(math), options);
      SamplingParams params{.temperature = 0, .ignore_eos = true, .max_tokens = 24, .logprobs = 0};
      const CompletionOutput answer = tiny.llm.generate(kPrompt, params).outputs.at(0);
      std::vector<std::int32_t> ids = tiny.llm.encode(kPrompt);
      for (std::size_t t = 0; t < 24; t += 23) {
        std::vector<std::int32_t> prompt = ids;
        prompt.insert(prompt.end(), answer.token_ids.begin(), answer.token_ids.begin() + static_cast<int>(t));
        params.max_tokens = 1;
        const CompletionOutput again = tiny.llm.generate(Prompt(prompt), params).outputs.at(0);
        EXPECT_EQ(again.token_ids[0], answer.token_ids[t]) << math << window << t;
        EXPECT_NEAR(again.logprobs[0][0].logprob, answer.logprobs[t][0].logprob, t == 0 ? 0.0f : 0.05f)
            << math << window << t;
      }
    }
}

// The narrow accumulator runs over the whole context, so that a token decoded alone sees the arithmetic that it
// would see in a prompt: decode attention is not cut into pieces there.
TEST(AttentionMath, PlainHopperSumsAreNotCutIntoPieces) {
  TinyOptions options;
  options.max_position_embeddings = 1024;
  TinyLlm tiny(with_math("fp8-hopper-plain"), options);
  SamplingParams params{.temperature = 0, .ignore_eos = true, .max_tokens = 2, .logprobs = 0};
  std::vector<std::int32_t> prompt;
  for (int i = 0; i < 700; ++i) prompt.push_back((i * i + 3 * i) % 256);
  const CompletionOutput answer = tiny.llm.generate(Prompt(prompt), params).outputs.at(0);
  prompt.push_back(answer.token_ids[0]);
  params.max_tokens = 1;
  const CompletionOutput again = tiny.llm.generate(Prompt(prompt), params).outputs.at(0);
  EXPECT_NEAR(again.logprobs[0][0].logprob, answer.logprobs[1][0].logprob, 2e-5f);
}

TEST(AttentionMath, IsRefusedByName) {
  EXPECT_EQ(error_of([] { TinyLlm tiny({.attention_math = "fp8"}); }).context(), "attention_math");
}

}  // namespace
}  // namespace octet::llm
