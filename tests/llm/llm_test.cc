#include <gtest/gtest.h>
#include <octet/llm.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "llm/tiny_llm.h"
#include "text/utf8.h"

namespace octet {
namespace {

using tests::error_of;
using tests::TinyLlm;

// Sampled, so that the random model says many different things; seeded, so that it says them again.
SamplingParams storm(int max_tokens) {
  SamplingParams params;
  params.temperature = 1.5;
  params.seed = 11;
  params.ignore_eos = true;
  params.max_tokens = max_tokens;
  return params;
}

const CompletionOutput& only(const RequestOutput& output) { return output.outputs.at(0); }

TEST(Llm, AnswersWithIdsTextAndReason) {
  TinyLlm tiny;
  const RequestOutput output =
      tiny.llm.generate("hello", {.temperature = 0, .ignore_eos = true, .max_tokens = 9});
  EXPECT_TRUE(output.finished);
  EXPECT_EQ(output.prompt, "hello");
  EXPECT_EQ(output.prompt_token_ids, tiny.llm.encode("hello"));
  EXPECT_EQ(only(output).token_ids.size(), 9u);
  EXPECT_EQ(only(output).finish_reason, "length");
  EXPECT_EQ(only(output).stop_reason, "");
  EXPECT_EQ(only(output).text, tiny.llm.decode(only(output).token_ids, /*skip_special_tokens=*/true));
  EXPECT_GT(output.timings.first_token, 0);
  EXPECT_GE(output.timings.finished, output.timings.first_token);
}

TEST(Llm, StreamedPiecesAddUpToTheTextAndAreUtf8) {
  TinyLlm tiny;
  std::vector<std::string> streamed(3);
  const auto outputs =
      tiny.llm.generate({"a", "bc", "the rain"}, storm(120), [&](std::size_t index, const std::string& piece) {
        EXPECT_FALSE(piece.empty());
        EXPECT_FALSE(text::find_invalid_utf8(piece)) << "a broken character was shown";
        streamed.at(index) += piece;
        return true;
      });
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(streamed[i], only(outputs[i]).text);
    EXPECT_EQ(only(outputs[i]).text, tiny.llm.decode(only(outputs[i]).token_ids, true));
  }
}

TEST(Llm, StopStringsCutWhereverTheyStand) {
  TinyLlm tiny;
  const std::string whole = only(tiny.llm.generate("x", storm(60))).text;
  int tried = 0;
  for (std::size_t begin = 0; begin < whole.size() && tried < 40; ++begin) {
    const std::string stop = whole.substr(begin, 5);
    if (text::find_invalid_utf8(stop)) continue;  // begins or ends inside a character
    ++tried;
    SamplingParams params = storm(60);
    params.stop = {"never said", stop};
    std::string streamed;
    const RequestOutput output = tiny.llm.generate("x", params, [&](std::size_t, const std::string& piece) {
      streamed += piece;
      return true;
    });
    EXPECT_EQ(only(output).text, whole.substr(0, whole.find(stop)));
    EXPECT_EQ(streamed, only(output).text);
    EXPECT_EQ(only(output).finish_reason, "stop");
    EXPECT_EQ(only(output).stop_reason, stop);
    params.include_stop_str_in_output = true;
    EXPECT_EQ(only(tiny.llm.generate("x", params)).text, whole.substr(0, whole.find(stop)) + stop);
  }
  EXPECT_GE(tried, 10);
}

TEST(Llm, APromptAnswersTheSameAloneAndInABatch) {
  TinyLlm tiny;
  SamplingParams greedy{.temperature = 0, .ignore_eos = true, .max_tokens = 40};
  const std::vector<Prompt> prompts = {"a", std::string(100, 'q'), "hello there",
                                       std::vector<std::int32_t>{1, 2, 3}};
  for (const SamplingParams& params : {greedy, storm(40)}) {
    const auto together = tiny.llm.generate(prompts, params);
    for (std::size_t i = 0; i < prompts.size(); ++i)
      EXPECT_EQ(only(together[i]).token_ids, only(tiny.llm.generate(prompts[i], params)).token_ids) << i;
  }
}

TEST(Llm, ASmallCacheGivesTheSameAnswers) {
  const SamplingParams params{.temperature = 0, .ignore_eos = true, .max_tokens = 60};
  const std::vector<Prompt> prompts(6, std::string(50, 'z'));
  TinyLlm roomy;
  const auto expected = roomy.llm.generate(prompts, params);
  // Room for one sequence of max_model_len: most requests have to give their blocks back and start again.
  TinyLlm tight({.max_model_len = 128,
                 .kv_cache_memory_bytes = roomy.llm.kv_cache_stats().bytes_per_token * 128,
                 .max_num_batched_tokens = 32});
  const auto got = tight.llm.generate(prompts, params);
  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(only(got[i]).token_ids, only(expected[i]).token_ids);
  EXPECT_EQ(tight.llm.kv_cache_stats().used_blocks, 0);
}

// The token that greedy decoding of "hello" says at the third step; ending there is then exact.
std::int32_t third_token(LLM& llm) {
  return only(llm.generate("hello", {.temperature = 0, .ignore_eos = true, .max_tokens = 3})).token_ids.at(2);
}

TEST(Llm, StopTokensEndTheTextAndStayInTheIds) {
  TinyLlm tiny;
  const std::int32_t stop = third_token(tiny.llm);
  SamplingParams params{.temperature = 0, .stop_token_ids = {stop}, .ignore_eos = true, .max_tokens = 50};
  const RequestOutput output = tiny.llm.generate("hello", params);
  EXPECT_EQ(only(output).token_ids.back(), stop);
  EXPECT_LE(only(output).token_ids.size(), 3u);
  EXPECT_EQ(only(output).finish_reason, "stop");
  EXPECT_EQ(only(output).stop_reason, std::to_string(stop));
  std::vector<std::int32_t> before = only(output).token_ids;
  before.pop_back();
  EXPECT_EQ(only(output).text, tiny.llm.decode(before, true));
  params.include_stop_str_in_output = true;
  EXPECT_EQ(only(tiny.llm.generate("hello", params)).text, tiny.llm.decode(only(output).token_ids, true));
}

TEST(Llm, EndTokensEndUnlessIgnored) {
  TinyLlm probe;
  const std::int32_t end = third_token(probe.llm);
  // The same model with that token as an end token of generation_config.json.
  tests::ScratchFolder folder;
  const std::string model = tests::write_tiny_llm(folder.path());
  tests::tiny::write_file(folder.path() / "generation_config.json",
                          R"({"eos_token_id":[256,)" + std::to_string(end) + "]}");
  LLM llm({.model = model, .threads = 1});
  const RequestOutput ended = llm.generate("hello", {.temperature = 0, .max_tokens = 30});
  EXPECT_EQ(only(ended).finish_reason, "stop");
  EXPECT_EQ(only(ended).token_ids.back(), end);
  const RequestOutput ignored = llm.generate("hello", {.temperature = 0, .ignore_eos = true, .max_tokens = 30});
  EXPECT_EQ(only(ignored).token_ids.size(), 30u);
  const RequestOutput at_least = llm.generate("hello", {.temperature = 0, .max_tokens = 30, .min_tokens = 12});
  EXPECT_GE(only(at_least).token_ids.size(), 12u);
}

TEST(Llm, GoesOnToMaxModelLenWithoutMaxTokens) {
  TinyLlm tiny({.max_model_len = 48});
  SamplingParams params = storm(1);
  params.max_tokens = std::nullopt;
  const RequestOutput output = tiny.llm.generate("hello", params);
  EXPECT_EQ(output.prompt_token_ids.size() + only(output).token_ids.size(), 48u);
  EXPECT_EQ(only(output).finish_reason, "length");
}

TEST(Llm, LogprobsGiveTheChosenOneFirstThenTheLikeliest) {
  TinyLlm tiny;
  SamplingParams params = storm(10);
  params.logprobs = 3;
  const RequestOutput output = tiny.llm.generate("hello", params);
  const CompletionOutput& completion = only(output);
  ASSERT_EQ(completion.logprobs.size(), completion.token_ids.size());
  double sum = 0;
  for (std::size_t i = 0; i < completion.logprobs.size(); ++i) {
    const auto& row = completion.logprobs[i];
    // The chosen token stands first, and does not stand again where it is one of the three.
    ASSERT_EQ(row.size(), row[0].rank <= 3 ? 3u : 4u);
    EXPECT_EQ(row[0].token_id, completion.token_ids[i]);
    EXPECT_EQ(row[0].decoded_token, tiny.llm.decode({row[0].token_id}));
    EXPECT_LE(row[0].logprob, 0);
    int rank = 0;
    for (std::size_t k = 1; k < row.size(); ++k) {
      rank += rank + 1 == row[0].rank ? 2 : 1;
      EXPECT_EQ(row[k].rank, rank);
      if (k > 1) {
        EXPECT_LE(row[k].logprob, row[k - 1].logprob);
      }
    }
    sum += row[0].logprob;
  }
  EXPECT_NEAR(completion.cumulative_logprob, sum, 1e-6);
  EXPECT_TRUE(only(tiny.llm.generate("hello", storm(3))).logprobs.empty());
}

TEST(Llm, ChatRendersTheTemplateWithoutAddingSpecialTokens) {
  TinyLlm tiny;
  const RequestOutput output =
      tiny.llm.chat({{"user", "Hi"}}, {.temperature = 0, .ignore_eos = true, .max_tokens = 4});
  EXPECT_EQ(output.prompt, "<|user|>Hi<|end|><|assistant|>");
  EXPECT_EQ(output.prompt_token_ids,
            (std::vector<std::int32_t>{tests::kUserToken, 'H', 'i', tests::kEndToken, tests::kAssistantToken}));
}

TEST(Llm, ChatTakesBracesAsOneConversationOrSeveral) {
  TinyLlm tiny;
  const SamplingParams params{.max_tokens = 1};
  EXPECT_EQ(tiny.llm.chat({{"user", "a"}, {"assistant", "b"}, {"user", "c"}}, params).prompt,
            "<|user|>a<|end|><|assistant|>b<|end|><|user|>c<|end|><|assistant|>");
  const auto several = tiny.llm.chat({{{"user", "a"}}, {{"user", "b"}}}, params);
  ASSERT_EQ(several.size(), 2u);
  EXPECT_EQ(several[1].prompt, "<|user|>b<|end|><|assistant|>");
}

TEST(Llm, ACallbackThatReturnsFalseAborts) {
  TinyLlm tiny;
  int calls = 0;
  const auto outputs =
      tiny.llm.generate({"a", "b"}, storm(200), [&](std::size_t, const std::string&) { return ++calls < 5; });
  EXPECT_EQ(calls, 5);
  for (const RequestOutput& output : outputs) {
    EXPECT_EQ(only(output).finish_reason, "abort");
    EXPECT_LT(only(output).token_ids.size(), 200u);
  }
  EXPECT_EQ(tiny.llm.kv_cache_stats().used_blocks, 0);
}

TEST(Llm, InterruptAbortsOnceAndKeepsWhatThereIs) {
  TinyLlm tiny;
  std::string streamed;
  const RequestOutput output = tiny.llm.generate("a", storm(200), [&](std::size_t, const std::string& piece) {
    streamed += piece;
    tiny.llm.interrupt();
    return true;
  });
  EXPECT_EQ(only(output).finish_reason, "abort");
  EXPECT_EQ(only(output).text, streamed);
  EXPECT_EQ(only(tiny.llm.generate("a", storm(5))).finish_reason, "length");
}

TEST(Llm, AnExceptionFromTheCallbackLeavesNothingBehind) {
  TinyLlm tiny;
  EXPECT_THROW(
      tiny.llm.generate({"a", "b"}, storm(50),
                        [](std::size_t, const std::string&) -> bool { throw std::runtime_error("no"); }),
      std::runtime_error);
  EXPECT_EQ(tiny.llm.kv_cache_stats().used_blocks, 0);
  EXPECT_EQ(only(tiny.llm.generate("a", storm(5))).token_ids.size(), 5u);
}

TEST(Llm, RefusesBadPromptsByIndexBeforeGenerating) {
  TinyLlm tiny({.max_model_len = 32});
  const auto refused = [&](const Prompt& bad) {
    bool called = false;
    const Error error = error_of([&] {
      tiny.llm.generate({"fine", bad}, {}, [&](std::size_t, const std::string&) { return called = true; });
    });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find("prompt 1"), std::string::npos) << error.what();
    EXPECT_FALSE(called);
    return error.message();
  };
  refused("");
  refused("a\xFF");
  refused(std::vector<std::int32_t>{});
  refused(std::vector<std::int32_t>{-1});
  refused(std::vector<std::int32_t>{tests::kTinyVocabSize});
  const std::string too_long = refused(std::string(32, 'q'));
  EXPECT_NE(too_long.find("32 tokens"), std::string::npos) << too_long;
  EXPECT_NO_THROW(tiny.llm.generate(std::string(31, 'q')));
}

TEST(Llm, RefusesBadParamsAndStopTokens) {
  TinyLlm tiny;
  EXPECT_EQ(error_of([&] { tiny.llm.generate("a", {.top_p = 2}); }).context(), "top_p");
  EXPECT_EQ(error_of([&] { tiny.llm.generate("a", {.stop_token_ids = {264}}); }).context(), "stop_token_ids");
  EXPECT_EQ(error_of([&] { tiny.llm.generate("a", {.logprobs = 265}); }).context(), "logprobs");
  EXPECT_EQ(error_of([&] { tiny.llm.chat(std::vector<ChatMessage>{}); }).code(), ErrorCode::invalid_argument);
}

TEST(Llm, RefusesBadOptionsByName) {
  tests::ScratchFolder folder;
  const std::string model = tests::write_tiny_llm(folder.path());
  const auto refused = [&](LLMOptions options) {
    options.model = model;
    const Error error = error_of([&] { LLM llm(options); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
    return error.context();
  };
  EXPECT_EQ(refused({.kv_cache_dtype = "int4"}), "kv_cache_dtype");
  EXPECT_EQ(refused({.kv_cache_dtype_v = "int4"}), "kv_cache_dtype_v");
  EXPECT_EQ(refused({.kv_cache_dtype_skip_layers = {"2"}}), "kv_cache_dtype_skip_layers");
  EXPECT_EQ(refused({.max_model_len = 1}), "max_model_len");
  EXPECT_EQ(refused({.max_model_len = 257}), "max_model_len");
  EXPECT_EQ(refused({.kv_cache_memory_bytes = -5}), "kv_cache_memory_bytes");
  EXPECT_EQ(refused({.max_num_seqs = 0}), "max_num_seqs");
  EXPECT_EQ(refused({.max_num_batched_tokens = 3}), "max_num_batched_tokens");
  EXPECT_EQ(refused({.dtype = "float16"}), "dtype");
  EXPECT_EQ(refused({.safetensors_load_strategy = "prefetch"}), "safetensors_load_strategy");
  EXPECT_EQ(refused({.threads = -1}), "threads");
  EXPECT_EQ(refused({.threads = 1 << 20}), "threads");
  EXPECT_EQ(refused({.isa = "mmx"}), "isa");
  EXPECT_NE(refused({.block_size = 12}).find("block_size"), std::string::npos);
  EXPECT_EQ(error_of([&] { LLM llm({.model = ""}); }).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of([&] { LLM llm({.model = model + "/nowhere"}); }).code(), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { LLM llm({.model = model, .kv_cache_memory_bytes = 100}); }).code(),
            ErrorCode::out_of_memory);
}

TEST(Llm, ACheckpointWithoutChatTemplateStillGenerates) {
  tests::ScratchFolder folder;
  const std::string model = tests::write_tiny_llm(folder.path());
  tests::tiny::write_file(folder.path() / "tokenizer_config.json", R"({"eos_token":"<|end|>"})");
  LLM llm({.model = model});
  EXPECT_NO_THROW(llm.generate("a", {.max_tokens = 1}));
  const Error error = error_of([&] { llm.chat({{"user", "a"}}); });
  EXPECT_EQ(error.code(), ErrorCode::not_found);
  EXPECT_NE(error.message().find("chat template"), std::string::npos);
}

TEST(Llm, MappedAndCopiedWeightsAnswerTheSame) {
  TinyLlm lazy({.safetensors_load_strategy = "lazy"}), eager({.safetensors_load_strategy = "eager"});
  EXPECT_EQ(only(lazy.llm.generate("hello", storm(20))).token_ids,
            only(eager.llm.generate("hello", storm(20))).token_ids);
}

TEST(Llm, StatsDescribeTheCache) {
  TinyLlm wide, narrow({.kv_cache_dtype = "fp8"});
  const KvCacheStats before = wide.llm.kv_cache_stats(), after = narrow.llm.kv_cache_stats();
  EXPECT_EQ(before.dtype, "float32");
  EXPECT_EQ(after.dtype, "fp8_e4m3");
  EXPECT_EQ(after.bytes_per_token * 4, before.bytes_per_token);
  EXPECT_EQ(after.capacity_tokens, after.num_blocks * after.block_size);
  EXPECT_GE(after.capacity_tokens, narrow.llm.max_model_len());
  EXPECT_EQ(after.scale_source, "none found: 1.0");
  EXPECT_EQ(narrow.llm.notices().size(), 1u);
  EXPECT_TRUE(wide.llm.notices().empty());
}

TEST(Llm, ScalesOfTheCheckpointAreUsedAndSaid) {
  tests::TinyOptions tiny;
  for (int layer = 0; layer < 2; ++layer)
    for (const char* which : {"k", "v"})
      tiny.extra_tensors.push_back(
          {"model.layers." + std::to_string(layer) + ".self_attn." + which + "_scale", {1}, {0.01f}});
  TinyLlm scaled({.kv_cache_dtype = "fp8"}, tiny), plain({.kv_cache_dtype = "auto"}, tiny);
  EXPECT_EQ(scaled.llm.kv_cache_stats().scale_source, "checkpoint (4 tensors)");
  EXPECT_EQ(scaled.llm.kv_cache_stats().scale_strategy, "tensor");
  EXPECT_EQ(scaled.llm.notices().size(), 1u);
  EXPECT_EQ(plain.llm.kv_cache_stats().scale_source, "not needed");
  EXPECT_EQ(plain.llm.notices().size(), 1u);
}

TEST(Llm, MovesAndGoesOn) {
  TinyLlm tiny;
  const auto expected = only(tiny.llm.generate("a", storm(8))).token_ids;
  LLM moved = std::move(tiny.llm);
  EXPECT_EQ(only(moved.generate("a", storm(8))).token_ids, expected);
}

TEST(Llm, NoPromptsGiveNoOutputs) {
  TinyLlm tiny;
  EXPECT_TRUE(tiny.llm.generate(std::vector<Prompt>{}).empty());
}

tests::TinyOptions windowed_tiny() {
  tests::TinyOptions tiny;
  tiny.extra_config = R"("sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"])";
  return tiny;
}

// The flag that vLLM has for it keeps the blocks; no token changes.
TEST(Llm, WindowsBoundTheCacheAndChangeNoToken) {
  const std::vector<Prompt> prompts = {std::string(150, 'a') + "river", std::string(150, 'a') + "winter",
                                       "rain"};
  const SamplingParams params{.temperature = 0, .max_tokens = 60};
  std::vector<std::vector<std::int32_t>> tokens[2];
  for (const bool keeps : {false, true}) {
    tests::TinyLlm tiny({.kv_cache_dtype = "fp8",
                         .block_size = 16,
                         .max_num_batched_tokens = 48,
                         .disable_hybrid_kv_cache_manager = keeps},
                        windowed_tiny());
    for (const RequestOutput& output : tiny.llm.generate(prompts, params))
      tokens[keeps].push_back(output.outputs[0].token_ids);
    const KvCacheStats stats = tiny.llm.kv_cache_stats();
    EXPECT_EQ(stats.groups.size(), keeps ? 1u : 2u);
    EXPECT_EQ(stats.capacity_tokens, 32 * 256);
    EXPECT_EQ(stats.max_concurrency, 32);
    EXPECT_EQ(stats.total_bytes, keeps ? 32 * 256 * 128 : 32 * 256 * 64 + (32 * (2 + 2) + 3) * 16 * 64);
    EXPECT_EQ(stats.used_blocks, 0);
  }
  EXPECT_EQ(tokens[0], tokens[1]);
}

TEST(Llm, SlidingWindowLayersMayStayInSixteenBits) {
  tests::TinyLlm tiny({.kv_cache_dtype = "fp8", .kv_cache_dtype_skip_layers = {"sliding_window"}},
                      windowed_tiny());
  tiny.llm.generate(std::vector<Prompt>{std::string(100, 'x')}, {.temperature = 0, .max_tokens = 40});
  const KvCacheStats stats = tiny.llm.kv_cache_stats();
  ASSERT_EQ(stats.groups.size(), 2u);
  EXPECT_EQ(stats.groups[0].dtype, "fp8_e4m3");
  EXPECT_EQ(stats.groups[1].dtype, "float32");  // what auto is for this model
  EXPECT_EQ(stats.groups[1].window, 24);
  EXPECT_EQ(stats.skip_layers, std::vector<int>{0});
}

}  // namespace
}  // namespace octet
