// Many requests at once through the public interface, over a tiny random checkpoint.
#include <gtest/gtest.h>
#include <octet/async_llm.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <future>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "files/expect_error.h"
#include "llm/prompt_logits.h"
#include "llm/tiny_llm.h"

namespace octet {
namespace {

using namespace std::chrono_literals;
using tests::error_of;
using Ids = std::vector<std::int32_t>;

constexpr auto kPatience = 60s;  // for the thread sanitizer on a busy machine

// Holds the engine thread behind the step that it is in, so that what a test does meets requests that run. Real
// callbacks must not do this.
class Gate {
 public:
  ~Gate() { open(); }
  std::function<void()> callback() {
    return [opened = opened_] { opened.wait(); };
  }
  void open() {
    if (!std::exchange(is_open_, true)) promise_.set_value();
  }

 private:
  std::promise<void> promise_;
  std::shared_future<void> opened_ = promise_.get_future().share();
  bool is_open_ = false;
};

struct TinyAsyncLlm {
  tests::ScratchFolder folder;
  AsyncLLM llm;

  explicit TinyAsyncLlm(AsyncLLMOptions options = {}, const tests::TinyOptions& tiny = {})
      : llm(with_model(std::move(options), tests::write_tiny_llm(folder.path(), tiny))) {}

  GenerationStream submit(Prompt prompt, SamplingParams params) {
    return llm.submit({.prompt = std::move(prompt), .params = std::move(params)});
  }
  // One that does not go on before the gate opens.
  GenerationStream submit(Prompt prompt, SamplingParams params, Gate& gate) {
    return llm.submit({.prompt = std::move(prompt), .params = std::move(params), .on_update = gate.callback()});
  }
  // Everything has ended, and nothing holds a block.
  void expect_idle() {
    EXPECT_TRUE(llm.wait_until_idle(kPatience));
    const AsyncLLMStats stats = llm.stats();
    EXPECT_EQ(stats.num_requests_running, 0);
    EXPECT_EQ(stats.num_requests_waiting, 0);
    EXPECT_EQ(stats.kv_cache_used_blocks, 0);
    EXPECT_EQ(llm.kv_cache_stats().used_blocks, 0);
  }

 private:
  static AsyncLLMOptions with_model(AsyncLLMOptions options, const std::string& model) {
    options.llm.model = model;
    options.llm.threads = 2;
    return options;
  }
};

SamplingParams greedy(int max_tokens) {
  return {.temperature = 0, .ignore_eos = true, .max_tokens = max_tokens};
}

std::vector<std::string> prompts() {
  return {"one", "two and twenty", "three men in a boat, to say nothing of the dog", "four", "five is fine"};
}

TEST(AsyncLlm, AnswersAreThoseOfLlm) {
  tests::TinyLlm reference;
  TinyAsyncLlm tiny;
  SamplingParams params = greedy(30);
  params.logprobs = 2;
  params.stop = {"zz"};
  std::vector<GenerationStream> streams;
  for (const std::string& prompt : prompts()) streams.push_back(tiny.submit(prompt, params));
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const RequestOutput alone = reference.llm.generate(Prompt(prompts()[i]), params);
    const RequestOutput output = streams[i].wait();
    EXPECT_TRUE(streams[i].finished());
    EXPECT_TRUE(output.finished);
    EXPECT_EQ(output.prompt_token_ids, alone.prompt_token_ids);
    ASSERT_EQ(output.outputs.size(), 1u);
    EXPECT_EQ(output.outputs[0].text, alone.outputs[0].text);
    EXPECT_EQ(output.outputs[0].token_ids, alone.outputs[0].token_ids);
    EXPECT_EQ(output.outputs[0].finish_reason, alone.outputs[0].finish_reason);
    EXPECT_EQ(output.outputs[0].cumulative_logprob, alone.outputs[0].cumulative_logprob);
    ASSERT_EQ(output.outputs[0].logprobs.size(), alone.outputs[0].logprobs.size());
    EXPECT_FALSE(streams[i].next(0ms)) << "nothing comes behind the end";
  }
  tiny.expect_idle();
}

TEST(AsyncLlm, UpdatesAddUpToTheAnswerAndItsUsage) {
  TinyAsyncLlm tiny({.llm = {.block_size = 16}});
  const SamplingParams params = greedy(40);
  const RequestOutput whole = tiny.submit("a prompt of more than one block", params).wait();
  std::atomic<int> calls = 0;
  GenerationStream stream = tiny.llm.submit(
      {.prompt = "a prompt of more than one block", .params = params, .on_update = [&] { ++calls; }});
  ChoiceUpdate all;
  int updates = 0;
  GenerationUpdate last;
  while (!stream.finished()) {
    std::optional<GenerationUpdate> update = stream.next(kPatience);
    ASSERT_TRUE(update);
    ++updates;
    ASSERT_EQ(update->choices.size(), 1u);
    ASSERT_TRUE(all.finish_reason.empty());
    all.text += update->choices[0].text;
    all.token_ids.insert(all.token_ids.end(), update->choices[0].token_ids.begin(),
                         update->choices[0].token_ids.end());
    all.finish_reason = update->choices[0].finish_reason;
    EXPECT_EQ(update->usage.completion_tokens, static_cast<int>(all.token_ids.size()));
    last = std::move(*update);
  }
  EXPECT_EQ(all.text, whole.outputs[0].text);
  EXPECT_EQ(all.token_ids, whole.outputs[0].token_ids);
  EXPECT_EQ(all.finish_reason, "length");
  EXPECT_EQ(last.usage.prompt_tokens, static_cast<int>(whole.prompt_token_ids.size()));
  EXPECT_EQ(last.usage.cached_tokens, 16);
  EXPECT_EQ(last.usage.completion_tokens, 40);
  EXPECT_GT(last.timings.first_token, 0);
  EXPECT_GE(last.timings.finished, last.timings.first_token);
  tiny.expect_idle();
  EXPECT_GE(calls, updates);
}

TEST(AsyncLlm, WhatIsNotReadIsOneUpdate) {
  TinyAsyncLlm tiny;
  SamplingParams params = greedy(25);
  params.n = 2;
  params.logprobs = 0;
  GenerationStream stream = tiny.submit("nobody reads", params);
  tiny.expect_idle();
  EXPECT_FALSE(stream.finished());
  const std::optional<GenerationUpdate> update = stream.next(0ms);
  ASSERT_TRUE(update);
  EXPECT_TRUE(update->finished);
  EXPECT_TRUE(stream.finished());
  ASSERT_EQ(update->choices.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    const ChoiceUpdate& choice = update->choices[static_cast<std::size_t>(i)];
    EXPECT_EQ(choice.index, i);
    EXPECT_EQ(choice.token_ids.size(), 25u);
    EXPECT_EQ(choice.logprobs.size(), 25u);
    EXPECT_EQ(choice.finish_reason, "length");
  }
  EXPECT_EQ(update->usage.completion_tokens, 50);
  EXPECT_FALSE(stream.next(0ms));
}

TEST(AsyncLlm, AModelThatBreaksEndsTheRequestWithAnErrorAndGoesOn) {
  tests::TinyOptions broken{.num_layers = 1, .extra_config = R"("mlp_bias": true)"};
  std::vector<float> nan(32, 0.0f);
  nan[5] = std::numeric_limits<float>::quiet_NaN();
  broken.extra_tensors = {{"model.layers.0.mlp.gate_proj.bias", {64}, std::vector<float>(64)},
                          {"model.layers.0.mlp.up_proj.bias", {64}, std::vector<float>(64)},
                          {"model.layers.0.mlp.down_proj.bias", {32}, nan}};
  TinyAsyncLlm tiny({}, broken);
  SamplingParams params = greedy(5);
  for (const int n : {1, 3}) {
    for (const std::optional<int> prompt_logprobs : {std::optional<int>(), std::optional<int>(1)}) {
      params.n = n;
      params.prompt_logprobs = prompt_logprobs;
      GenerationStream stream = tiny.submit("a prompt", params);
      const std::optional<GenerationUpdate> update = stream.next(kPatience);
      ASSERT_TRUE(update);
      EXPECT_TRUE(update->finished);
      ASSERT_TRUE(update->error);
      EXPECT_EQ(update->error->code(), ErrorCode::internal);
      ASSERT_EQ(update->choices.size(), static_cast<std::size_t>(n));
      for (const ChoiceUpdate& choice : update->choices) EXPECT_EQ(choice.finish_reason, "error");
      GenerationStream waited = tiny.submit("a prompt", params);
      EXPECT_EQ(error_of([&] { waited.wait(); }).code(), ErrorCode::internal);
      tiny.expect_idle();
    }
  }
  EXPECT_EQ(tiny.llm.stats().requests_error, 2 * 2 * (1 + 3));
  tests::TinyLlm synchronous({}, broken);
  EXPECT_EQ(error_of([&] { synchronous.llm.generate("a prompt", params); }).code(), ErrorCode::internal);
  EXPECT_EQ(synchronous.llm.kv_cache_stats().used_blocks, 0);
}

TEST(AsyncLlm, SeveralAnswersAreThoseOfTheirSeeds) {
  TinyAsyncLlm tiny;
  SamplingParams params{.n = 4, .temperature = 1.0, .seed = 77, .ignore_eos = true, .max_tokens = 12};
  const RequestOutput together = tiny.submit("several", params).wait();
  ASSERT_EQ(together.outputs.size(), 4u);
  params.n = 1;
  for (int i = 0; i < 4; ++i) {
    params.seed = 77 + static_cast<std::uint64_t>(i);
    const RequestOutput alone = tiny.submit("several", params).wait();
    EXPECT_EQ(together.outputs[static_cast<std::size_t>(i)].index, i);
    EXPECT_EQ(together.outputs[static_cast<std::size_t>(i)].token_ids, alone.outputs[0].token_ids);
    EXPECT_EQ(together.outputs[static_cast<std::size_t>(i)].text, alone.outputs[0].text);
  }
  tests::TinyLlm reference;
  params = {.n = 3, .temperature = 1.0, .seed = 77, .ignore_eos = true, .max_tokens = 12};
  const RequestOutput synchronous = reference.llm.generate("several", params);
  ASSERT_EQ(synchronous.outputs.size(), 3u);
  EXPECT_TRUE(synchronous.finished);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(synchronous.outputs[i].token_ids, together.outputs[i].token_ids);
  tiny.expect_idle();
}

TEST(AsyncLlm, CancellingOrDroppingAStreamFreesItsBlocks) {
  TinyAsyncLlm tiny;
  Gate gate;
  SamplingParams endless = greedy(200);
  GenerationStream cancelled = tiny.submit("to be cancelled", endless, gate);
  ASSERT_TRUE(cancelled.next(kPatience));
  {
    endless.n = 3;
    GenerationStream dropped = tiny.submit("to be dropped", endless);
  }
  cancelled.cancel();
  cancelled.cancel();  // a second time is nothing
  gate.open();
  const RequestOutput output = cancelled.wait();
  EXPECT_EQ(output.outputs[0].finish_reason, "abort");
  tiny.expect_idle();
  EXPECT_EQ(tiny.llm.stats().requests_abort, 4);
  EXPECT_LE(tiny.llm.stats().generation_tokens, 1);
}

TEST(AsyncLlm, StatisticsOfTheCacheSayWhatEachGroupUses) {
  tests::TinyOptions windowed;
  windowed.extra_config = R"("sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"])";
  TinyAsyncLlm tiny({.llm = {.block_size = 16}}, windowed);
  Gate gate;
  GenerationStream runs = tiny.submit(std::string(150, 'x'), greedy(40), gate);
  ASSERT_TRUE(runs.next(kPatience));
  const KvCacheStats stats = tiny.llm.kv_cache_stats();
  ASSERT_EQ(stats.groups.size(), 2u);
  EXPECT_GE(stats.groups[0].used_blocks, 150 / 16);
  EXPECT_GT(stats.groups[1].used_blocks, 0);
  EXPECT_LE(stats.groups[1].used_blocks, 24 / 16 + 2);
  EXPECT_EQ(stats.groups[0].used_blocks + stats.groups[1].used_blocks, stats.used_blocks);
  runs.cancel();
  gate.open();
  tiny.expect_idle();
  for (const KvCacheGroup& group : tiny.llm.kv_cache_stats().groups) EXPECT_EQ(group.used_blocks, 0);
}

TEST(AsyncLlm, MoreThanMayWaitIsOverloadedUntilSomeEnd) {
  TinyAsyncLlm tiny({.llm = {.max_num_seqs = 1}, .max_queue = 1});
  Gate gate;
  GenerationStream runs = tiny.submit("a", greedy(200), gate);
  GenerationStream waits = tiny.submit("b", greedy(2));
  EXPECT_EQ(error_of([&] { tiny.submit("c", greedy(2)); }).code(), ErrorCode::overloaded);
  gate.open();
  runs.cancel();
  EXPECT_EQ(waits.wait().outputs[0].token_ids.size(), 2u);
  EXPECT_EQ(tiny.submit("c", greedy(3)).wait().outputs[0].token_ids.size(), 3u);
  tiny.expect_idle();
  EXPECT_EQ(error_of([] { TinyAsyncLlm({.max_queue = -1}); }).context(), "max_queue");
}

TEST(AsyncLlm, EveryAnswerOfARequestCountsAsWaiting) {
  TinyAsyncLlm tiny({.llm = {.max_num_seqs = 1}, .max_queue = 3});
  Gate gate;
  SamplingParams three = greedy(2);
  three.n = 3;
  GenerationStream first = tiny.submit("a", three, gate);
  EXPECT_EQ(error_of([&] { tiny.submit("b", three); }).code(), ErrorCode::overloaded);
  GenerationStream second = tiny.submit("b", greedy(2));
  gate.open();
  EXPECT_EQ(first.wait().outputs.size(), 3u);
  second.wait();
  tiny.expect_idle();
  three.n = 9;  // more than may ever wait, though nobody else is there
  const Error error = error_of([&] { tiny.submit("c", three); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_STREQ(
      error.what(),
      "n: expected at most 4, as many answers as may be unfinished (max_num_seqs and max_queue), found 9");
  EXPECT_EQ(tiny.llm.max_unfinished(), 4);
}

TEST(AsyncLlm, StopsAcceptingAndFinishesWhatItHas) {
  TinyAsyncLlm tiny;
  Gate gate;
  GenerationStream stream = tiny.submit("a", greedy(100), gate);
  EXPECT_FALSE(tiny.llm.wait_until_idle(0ms));
  tiny.llm.stop_accepting();
  EXPECT_EQ(error_of([&] { tiny.submit("b", greedy(2)); }).code(), ErrorCode::unavailable);
  gate.open();
  EXPECT_TRUE(tiny.llm.wait_until_idle(kPatience));
  EXPECT_EQ(stream.wait().outputs[0].token_ids.size(), 100u);
}

TEST(AsyncLlm, AbortEndsWhatRunsAndWhatWaits) {
  TinyAsyncLlm tiny({.llm = {.max_num_seqs = 2}});
  Gate gate;
  std::vector<GenerationStream> streams;
  streams.push_back(tiny.submit("endless", greedy(240), gate));
  ASSERT_TRUE(streams[0].next(kPatience));
  for (int i = 0; i < 6; ++i) streams.push_back(tiny.submit("endless", greedy(240)));
  EXPECT_EQ(tiny.llm.stats().num_requests_running, 1);
  EXPECT_EQ(tiny.llm.stats().num_requests_waiting, 6);
  EXPECT_GT(tiny.llm.stats().kv_cache_usage, 0);
  tiny.llm.abort_all();
  gate.open();
  tiny.expect_idle();
  for (GenerationStream& stream : streams) EXPECT_EQ(stream.wait().outputs[0].finish_reason, "abort");
  EXPECT_EQ(tiny.submit("and on", greedy(3)).wait().outputs[0].finish_reason, "length");
}

TEST(AsyncLlm, AStreamOutlivesItsLlmWhichEndsIt) {
  std::vector<GenerationStream> streams;
  {
    Gate gate;
    TinyAsyncLlm tiny({.llm = {.max_num_seqs = 2}});
    for (int i = 0; i < 30; ++i) streams.push_back(tiny.submit("endless", greedy(240), gate));
    gate.open();
  }
  EXPECT_EQ(streams.back().wait().outputs[0].finish_reason, "abort");
  streams.back().cancel();
  streams.clear();
}

TEST(AsyncLlm, RefusesWhatCannotBeAnsweredNamingTheField) {
  TinyAsyncLlm tiny({.llm = {.max_model_len = 64}});
  const auto refused = [&](GenerationRequest request) {
    const Error error = error_of([&] { tiny.llm.submit(std::move(request)); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
    return std::string(error.what());
  };
  EXPECT_EQ(refused({.prompt = Ids(64, 65)}),
            "prompt: 64 tokens are too long for max_model_len 64, which counts prompt and new tokens");
  EXPECT_EQ(refused({.prompt = Ids(60, 65), .params = {.max_tokens = 5}}),
            "max_tokens: 5 new tokens behind a prompt of 60 are more than max_model_len, 64");
  EXPECT_EQ(refused({.prompt = ""}).rfind("prompt: ", 0), 0u);
  EXPECT_NE(refused({.prompt = "\xff"}).find("byte 0"), std::string::npos);
  EXPECT_EQ(refused({.prompt = "a", .params = {.n = 0}}).rfind("n: ", 0), 0u);
  EXPECT_EQ(refused({.prompt = "a", .params = {.n = 1025}}).rfind("n: ", 0), 0u);
  EXPECT_EQ(refused({.prompt = "a", .params = {.logit_bias = {{7, 101.0}}}}).rfind("logit_bias[7]: ", 0), 0u);
  EXPECT_EQ(refused({.prompt = "a", .params = {.logit_bias = {{99999, 1.0}}}}).rfind("logit_bias: ", 0), 0u);
  Ids all(tests::kTinyVocabSize);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(
      refused({.prompt = "a", .params = {.stop_token_ids = all, .min_tokens = 1}}).rfind("stop_token_ids: ", 0),
      0u);
  tiny.expect_idle();
}

TEST(AsyncLlm, ABiasAndAChatReachTheModel) {
  TinyAsyncLlm tiny;
  SamplingParams params = greedy(3);
  params.logit_bias = {{'x', 100.0}};
  EXPECT_EQ(tiny.submit("a", params).wait().outputs[0].text, "xxx");
  const std::string prompt =
      tiny.llm.render_chat({.messages_json = R"([{"role":"user","content":"hi \u00e9"}])"});
  EXPECT_EQ(prompt, "<|user|>hi \xc3\xa9<|end|><|assistant|>");
  GenerationStream stream = tiny.llm.submit({.prompt = prompt, .add_special_tokens = false, .params = params});
  EXPECT_EQ(stream.prompt_token_ids().front(), tests::kUserToken);
  EXPECT_EQ(tiny.llm.decode(stream.prompt_token_ids()), prompt);
  EXPECT_EQ(tiny.llm.token_text(tests::kEndToken), "<|end|>");
}

TEST(AsyncLlm, PromptLogprobsHaveARowForEachToken) {
  TinyAsyncLlm tiny;
  SamplingParams params = greedy(4);
  params.prompt_logprobs = 1;
  const RequestOutput output = tiny.submit("the prompt", params).wait();
  ASSERT_EQ(output.prompt_logprobs.size(), output.prompt_token_ids.size());
  EXPECT_TRUE(output.prompt_logprobs[0].empty());
  for (std::size_t i = 1; i < output.prompt_logprobs.size(); ++i) {
    EXPECT_EQ(output.prompt_logprobs[i][0].token_id, output.prompt_token_ids[i]);
    EXPECT_EQ(output.prompt_logprobs[i][0].token_bytes, tiny.llm.decode({output.prompt_token_ids[i]}));
    EXPECT_LT(output.prompt_logprobs[i][0].logprob, 0.0f);
  }
  tests::TinyLlm reference;
  EXPECT_EQ(reference.llm.generate("the prompt", params).prompt_logprobs.size(), output.prompt_logprobs.size());
}

TEST(AsyncLlm, ATemplateOfItsOwnSeesToolsAndFurtherVariables) {
  tests::ScratchFolder folder;
  const std::filesystem::path file = folder.path() / "own.jinja";
  tests::tiny::write_file(file,
                          "{% for tool in tools or [] %}[{{ tool.function.name }}]{% endfor %}"
                          "{{ messages[0].content }}{% if thinking is defined %} {{ thinking }}{% endif %}"
                          "{% for document in documents or [] %} {{ document.text }}{% endfor %}");
  TinyAsyncLlm tiny({.chat_template_file = file.string()});
  ChatPrompt chat{.messages_json = R"([{"role":"user","content":"hi"}])"};
  EXPECT_EQ(tiny.llm.render_chat(chat), "hi");
  chat.tools_json = R"([{"type":"function","function":{"name":"weather"}}])";
  chat.template_kwargs_json = R"({"thinking":"deep"})";
  EXPECT_EQ(tiny.llm.render_chat(chat), "[weather]hi deep");
  chat.template_kwargs_json = R"({"documents":[{"text":"read me"}]})";
  EXPECT_EQ(tiny.llm.render_chat(chat), "[weather]hi read me");
  chat.template_kwargs_json = "{}";
  EXPECT_EQ(tiny.llm.render_chat(chat), "[weather]hi");

  const auto refused = [&](const ChatPrompt& bad) {
    const Error error = error_of([&] { tiny.llm.render_chat(bad); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
    return error.context();
  };
  EXPECT_EQ(refused({.messages_json = "[]"}), "messages");
  EXPECT_EQ(refused({.messages_json = R"({"role":"user"})"}), "messages");
  EXPECT_EQ(refused({.messages_json = "[1]"}), "messages[0]");
  EXPECT_EQ(refused({.messages_json = R"([{"role":"user"}],"tools":[])"}).rfind("messages", 0), 0u)
      << "nothing can be smuggled in behind";
  EXPECT_EQ(refused({.messages_json = R"([{"content":"hi"}])", .tools_json = R"([1])"}), "messages")
      << "an attribute of a number: the template fails";
  chat.tools_json = "{}";
  EXPECT_EQ(refused(chat), "tools");
  chat.tools_json.clear();
  chat.template_kwargs_json = R"({"messages":[]})";
  EXPECT_EQ(refused(chat), "chat_template_kwargs");
  EXPECT_EQ(error_of([&] { TinyAsyncLlm({.chat_template_file = (folder.path() / "none").string()}); }).code(),
            ErrorCode::not_found);
}

TEST(AsyncLlm, StatisticsCountWhatHappened) {
  tests::TinyOptions scaled;
  for (const char* which : {"k", "v"})  // far too small for layer 1's keys, just right for all the rest
    for (int layer = 0; layer < 2; ++layer)
      scaled.extra_tensors.push_back(
          {"model.layers." + std::to_string(layer) + ".self_attn." + which + "_scale",
           {1},
           {layer == 1 && *which == 'k' ? 1e-7f : 0.1f}});
  TinyAsyncLlm tiny({.llm = {.kv_cache_dtype = "fp8", .block_size = 16}}, scaled);
  tiny.submit(Ids(40, 65), greedy(10)).wait();
  tiny.submit(Ids(40, 65), greedy(10)).wait();
  tiny.expect_idle();
  const AsyncLLMStats stats = tiny.llm.stats();
  EXPECT_EQ(stats.prompt_tokens, 80);
  EXPECT_EQ(stats.generation_tokens, 20);
  EXPECT_EQ(stats.prefix_cache_queries, 80);
  EXPECT_EQ(stats.prefix_cache_hits, 32);
  EXPECT_EQ(stats.kv_cache_cached_blocks, 2);
  EXPECT_GT(stats.kv_cache_blocks, 2);
  EXPECT_EQ(stats.kv_cache_usage, 0);
  EXPECT_EQ(stats.requests_length, 2);
  EXPECT_EQ(stats.requests_stop + stats.requests_abort + stats.requests_error, 0);
  const auto total = [](const LatencyHistogram& histogram) {
    EXPECT_EQ(histogram.counts.size(), histogram.bounds.size() + 1);
    return std::accumulate(histogram.counts.begin(), histogram.counts.end(), std::int64_t{0});
  };
  EXPECT_EQ(total(stats.time_to_first_token_seconds), 2);
  EXPECT_EQ(total(stats.inter_token_latency_seconds), 18);
  EXPECT_EQ(total(stats.e2e_request_latency_seconds), 2);
  EXPECT_GT(stats.e2e_request_latency_seconds.sum, stats.time_to_first_token_seconds.sum);
  ASSERT_EQ(stats.kv_saturated.size(), 2u);
  EXPECT_EQ(stats.kv_saturated[0].k + stats.kv_saturated[0].v + stats.kv_saturated[1].v, 0);
  // All elements but a few that are nearly zero, of each position once: the last token is never stored.
  const std::int64_t stored = (49 + 49 - 32) * 2 * 16;
  EXPECT_GT(stats.kv_saturated[1].k, stored * 9 / 10);
  EXPECT_LE(stats.kv_saturated[1].k, stored);
}

TEST(AsyncLlm, TheFirstPromptAloneDecidesTheScales) {
  const LLMOptions options{
      .kv_cache_dtype = "fp8", .calculate_kv_scales = "prompt", .max_num_batched_tokens = 64};
  std::string alone;
  for (const bool crowded : {false, true}) {
    TinyAsyncLlm tiny({.llm = options});
    std::vector<GenerationStream> streams;
    streams.push_back(tiny.submit(Ids(100, 65), greedy(20)));
    if (crowded)
      for (int i = 0; i < 5; ++i) streams.push_back(tiny.submit("the others", greedy(5)));
    const std::string text = streams[0].wait().outputs[0].text;
    EXPECT_EQ(tiny.llm.kv_cache_stats().scale_source, "calculated from the first prompt (64 tokens)");
    EXPECT_FALSE(tiny.llm.notices().empty());
    if (crowded) {
      EXPECT_EQ(text, alone);
    }
    alone = text;
  }
}

// Such a prompt goes in smaller steps.
TEST(AsyncLlm, TheFirstPromptMayWantItsLogProbabilities) {
  TinyAsyncLlm tiny({.llm = {.kv_cache_dtype = "fp8", .calculate_kv_scales = "prompt"}});
  SamplingParams params = greedy(3);
  params.prompt_logprobs = 1;
  EXPECT_EQ(tiny.submit(Ids(100, 65), params).wait().prompt_logprobs.size(), 100u);
  EXPECT_EQ(tiny.llm.kv_cache_stats().scale_source, "calculated from the first prompt (64 tokens)");
}

// Threads that submit, read, cancel and vanish at random, in a cache that must preempt and evict: every
// accepted request ends, greedy answers are what they are alone, and no block is left behind.
TEST(AsyncLlm, RandomUseFromManyThreadsEndsEveryRequestAndLeaksNothing) {
  constexpr int kThreads = 4, kRequests = 40;
  constexpr int kTokens = 180;  // farther than the scheduler looks, so that some are preempted
  std::vector<std::string> expected;
  {
    TinyAsyncLlm alone;
    for (const std::string& prompt : prompts())
      expected.push_back(alone.submit(prompt, greedy(kTokens)).wait().outputs[0].text);
  }
  TinyAsyncLlm tiny({.llm = {.max_model_len = 240,
                             .block_size = 8,
                             .kv_cache_memory_bytes = 240 * 256 * 2,
                             .max_num_seqs = 6,
                             .max_num_batched_tokens = 24},
                     .max_queue = 12});
  std::atomic<int> accepted = 0, ended = 0, refused = 0, updates = 0;
  const auto use = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < kRequests; ++i) {
      const std::size_t which = random() % expected.size();
      SamplingParams params = greedy(kTokens);
      params.n = random() % 5 == 0 ? 3 : 1;
      try {
        GenerationStream stream =
            tiny.llm.submit({.prompt = prompts()[which], .params = params, .on_update = [&] { ++updates; }});
        ++accepted;
        const unsigned fate = random() % 4;
        if (fate == 0) {
          ++ended;  // vanishes; that it ends is seen in the counts below
          continue;
        }
        if (fate == 1) {
          stream.next(std::chrono::milliseconds(random() % 3));
          stream.cancel();
        }
        for (const CompletionOutput& answer : stream.wait().outputs)
          if (fate > 1) {
            EXPECT_EQ(answer.text, expected[which]);
          }
        ++ended;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::overloaded) << error.what();
        ++refused;
        std::this_thread::sleep_for(2ms);
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back(use, i);
  for (int i = 0; i < 20; ++i) {
    EXPECT_LE(tiny.llm.stats().kv_cache_usage, 1.0);
    std::this_thread::sleep_for(1ms);
  }
  for (std::thread& thread : threads) thread.join();
  tiny.expect_idle();
  const AsyncLLMStats stats = tiny.llm.stats();
  EXPECT_EQ(accepted + refused, kThreads * kRequests);
  EXPECT_EQ(ended, accepted);
  EXPECT_GE(stats.requests_length + stats.requests_abort, accepted);
  EXPECT_EQ(stats.requests_error, 0);
  EXPECT_GT(stats.num_preemptions, 0);
  EXPECT_GT(stats.prefix_cache_hits, 0);
  EXPECT_GT(updates, accepted / 2);
}

TEST(AsyncLlmLogits, AreWhatPromptLogprobsAreMadeOf) {
  TinyAsyncLlm tiny({.llm = {.kv_cache_dtype = "fp8", .max_num_batched_tokens = 32}});
  const Ids ids = tiny.llm.encode("The logits of a prompt that takes more than one step of thirty-two tokens.");
  const auto vocab = static_cast<std::size_t>(tiny.llm.vocab_size());
  const std::vector<float> logits = tiny.llm.logits(ids);
  ASSERT_EQ(logits.size(), ids.size() * vocab);

  const RequestOutput output =
      tiny.llm.submit({.prompt = ids, .params = {.temperature = 0, .max_tokens = 1, .prompt_logprobs = 0}})
          .wait();
  for (std::size_t i = 1; i < ids.size(); ++i) {
    const float* row = logits.data() + (i - 1) * vocab;
    double sum = 0;
    for (std::size_t id = 0; id < vocab; ++id) sum += std::exp(static_cast<double>(row[id]));
    EXPECT_NEAR(row[ids[i]] - std::log(sum), output.prompt_logprobs[i].front().logprob, 1e-5) << i;
  }
  const std::vector<float> last = tiny.llm.logits(ids, /*last_only=*/true);
  EXPECT_EQ(last, std::vector<float>(logits.end() - static_cast<std::ptrdiff_t>(vocab), logits.end()));
  EXPECT_EQ(std::max_element(last.begin(), last.end()) - last.begin(), output.outputs[0].token_ids[0]);
}

TEST(AsyncLlmLogits, LeaveNothingBehindAndRefuseWhatGenerationRefuses) {
  TinyAsyncLlm tiny({.llm = {.kv_cache_dtype = "fp8", .calculate_kv_scales = "prompt"}});
  tests::expect_error(ErrorCode::invalid_argument, {"calculate_kv_scales"}, [&] { tiny.llm.logits({1, 2}); });
  tests::expect_error(ErrorCode::invalid_argument, {"token_ids"}, [&] { tiny.llm.logits({}); });
  tests::expect_error(ErrorCode::invalid_argument, {"token_ids"}, [&] { tiny.llm.logits({1, 1 << 20}); });
  tiny.llm.submit({.prompt = Ids{1, 2, 3}, .params = {.max_tokens = 1}}).wait();
  const KvCacheStats before = tiny.llm.kv_cache_stats();
  EXPECT_FALSE(tiny.llm.logits({1, 2}).empty());
  tiny.llm.submit({.prompt = Ids{1, 2, 3}, .params = {.max_tokens = 1}}).wait();
  EXPECT_EQ(*tiny.llm.kv_cache_stats().stored_values, 2 * *before.stored_values);
  tiny.llm.stop_accepting();
  tests::expect_error(ErrorCode::unavailable, {"engine"}, [&] { tiny.llm.logits({1, 2}); });
}

TEST(AsyncLlmLogits, AreRefusedWhereMemoryDoesNotHoldThem) {
  llm::check_logits_fit(1000, 50, 200'000);
  llm::check_logits_fit(1 << 20, 1 << 20, 0);
  tests::expect_error(ErrorCode::out_of_memory, {"token_ids", "200000 bytes", "199999", "last_only"},
                      [] { llm::check_logits_fit(1000, 50, 199'999); });
  tests::expect_error(ErrorCode::out_of_memory, {"4398046511104 bytes"},
                      [] { llm::check_logits_fit(1 << 20, 1 << 20, std::int64_t{1} << 40); });
}

TEST(AsyncLlmCacheMemory, HoldsTheValuesOfWhatWasStored) {
  TinyAsyncLlm tiny({.llm = {.enable_prefix_caching = false}});
  tiny.llm.submit({.prompt = Ids{1, 2, 3}, .params = {.max_tokens = 1}}).wait();
  const LayerCacheMemory layer = tiny.llm.cache_memory(1);
  EXPECT_EQ(layer.k.dtype, "float32");
  EXPECT_EQ(layer.v.head_bytes, layer.block_size * layer.head_dim * 4);
  EXPECT_EQ(layer.v.token_scales_offset, layer.v.head_bytes);
  EXPECT_EQ(layer.k.scales[0], 1.0f);
  // One block was written: its first three tokens are not zero, its last is.
  int written = 0;
  for (std::int64_t block = 0; block < layer.v.num_blocks; ++block) {
    const auto* values =
        reinterpret_cast<const float*>(layer.v.bytes + block * layer.v.num_kv_heads * layer.v.head_bytes);
    if (values[0] == 0) continue;
    ++written;
    EXPECT_NE(values[2 * layer.head_dim], 0);
    EXPECT_EQ(values[(layer.block_size - 1) * layer.head_dim], 0);
  }
  EXPECT_EQ(written, 1);
  tests::expect_error(ErrorCode::invalid_argument, {"layer", "99"}, [&] { tiny.llm.cache_memory(99); });
}

}  // namespace
}  // namespace octet
