#include "server/answer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "server/logprobs_json.h"

namespace octet::server {
namespace {

GenerationUpdate update(int index, const std::string& text, const std::string& finish = "") {
  GenerationUpdate news;
  news.choices.push_back({index, text, {1}, {}, finish, ""});
  news.usage = {3, 2, 1};
  return news;
}

// The JSON of each event.
std::vector<Json> events(const std::string& text) {
  std::vector<Json> found;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find("\n\n", at);
    found.push_back(parse_json(text.substr(at + 6, end - at - 6)));
    at = end + 2;
  }
  return found;
}

TEST(ChatAnswer, Whole) {
  ChatRequest request;
  request.params.n = 2;
  const auto answer = chat_answer({"id", "m", 5}, request);
  answer->add(0, update(1, "b"));
  answer->add(0, update(0, "a\xff", "length"));
  answer->add(0, update(1, "c", "stop"));
  const Json body = parse_json(answer->whole({3, 2, 4}));
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][0]["message"]["content"], "a\uFFFD");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][1]["message"]["content"], "bc");
  EXPECT_EQ(body["usage"].dump(), R"({"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,)"
                                  R"("prompt_tokens_details":{"cached_tokens":2}})");
}

TEST(ChatAnswer, OneCallAloneWhereSeveralAreNotWanted) {
  for (const bool parallel : {true, false}) {
    ChatRequest request;
    request.tool_calls = ToolCallFormat::hermes;
    request.parallel_tool_calls = parallel;
    const std::string call = R"(<tool_call>{"name": "f", "arguments": {}}</tool_call>)";
    const auto answer = chat_answer({"id", "m", 5}, request);
    answer->add(0, update(0, call));
    answer->add(0, update(0, call + call, "stop"));
    const Json choice = parse_json(answer->whole({}))["choices"][0];
    EXPECT_EQ(choice["message"]["tool_calls"].size(), parallel ? 3u : 1u);
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    EXPECT_TRUE(choice["message"]["content"].is_null());
  }
}

TEST(ChatAnswer, ChunksBeginWithTheRoleAndEndWithTheReason) {
  ChatRequest request;
  request.answer.include_usage = true;
  const auto answer = chat_answer({"id", "m", 5}, request);
  const std::vector<Json> first = events(answer->chunks(0, update(0, "a")));
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0]["choices"][0]["delta"].dump(), R"({"role":"assistant","content":""})");
  EXPECT_EQ(first[1]["choices"][0]["delta"].dump(), R"({"content":"a"})");
  EXPECT_TRUE(first[1]["choices"][0]["finish_reason"].is_null() && first[1]["usage"].is_null());
  EXPECT_EQ(answer->chunks(0, update(0, "")), "");
  const std::vector<Json> last = events(answer->chunks(0, update(0, "", "stop")));
  EXPECT_EQ(last.at(0)["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events(answer->usage_chunk({1, 0, 2})).at(0)["choices"].dump(), "[]");
}

TEST(ChatAnswer, ToolCallsHaveIdsAndIndices) {
  ChatRequest request;
  request.tool_calls = ToolCallFormat::hermes;
  const std::string call = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
  const auto streamed = chat_answer({"id", "m", 5}, request);
  const std::vector<Json> chunks = events(streamed->chunks(0, update(0, call + call, "stop")));
  const Json& choice = chunks.at(1)["choices"][0];
  EXPECT_EQ(choice["delta"]["tool_calls"][1]["index"], 1);
  EXPECT_NE(choice["delta"]["tool_calls"][0]["id"], choice["delta"]["tool_calls"][1]["id"]);
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  const auto whole = chat_answer({"id", "m", 5}, request);
  whole->add(0, update(0, call, "stop"));
  const Json body = parse_json(whole->whole({}));
  EXPECT_TRUE(body["choices"][0]["message"]["content"].is_null());
  EXPECT_EQ(body["choices"][0]["message"]["tool_calls"][0]["function"].dump(),
            R"({"name":"f","arguments":"{}"})");
  EXPECT_FALSE(body["choices"][0]["message"]["tool_calls"][0].contains("index"));
}

TEST(CompletionAnswer, NumbersTheAnswersOfAllPrompts) {
  CompletionRequest request;
  request.prompts = {Prompt("p"), Prompt("q")};
  request.params.n = 2;
  request.echo = true;
  const auto answer = completion_answer({"id", "m", 5}, request, {{"p", ""}, {"q", ""}});
  const Json chunk = events(answer->chunks(1, update(1, "x"))).at(0);
  EXPECT_EQ(chunk["choices"][0]["index"], 3);
  EXPECT_EQ(chunk["choices"][0]["text"], "qx");
  EXPECT_EQ(events(answer->chunks(1, update(1, "y"))).at(0)["choices"][0]["text"], "y");
}

TEST(CompletionAnswer, APromptAloneEndsWithItsLengthUnlessItFails) {
  CompletionRequest request;
  request.prompts = {Prompt("p")};
  request.echo = request.prompt_only = true;
  for (const auto& [finish, said] : {std::pair("stop", "length"), {"length", "length"}, {"error", "error"}}) {
    const auto answer = completion_answer({"id", "m", 5}, request, {{"p", ""}});
    answer->add(0, update(0, "x", finish));
    const Json body = parse_json(answer->whole({3, 2, 1}));
    EXPECT_EQ(body["choices"][0]["text"], "p");
    EXPECT_EQ(body["choices"][0]["finish_reason"], said);
    EXPECT_EQ(body["usage"]["completion_tokens"], 0);
  }
}

TEST(StopReason, IsTheStringTheTokenOrNull) {
  SamplingParams params;
  params.stop = {"7"};
  EXPECT_EQ(stop_reason_json("", params), Json());
  EXPECT_EQ(stop_reason_json("7", params), Json("7"));
  EXPECT_EQ(stop_reason_json("8", params), Json(8));
}

const std::vector<std::vector<Logprob>> kSteps = {
    {{.token_id = 5, .logprob = -3, .rank = 3, .decoded_token = "é", .token_bytes = "\xc3\xa9"},
     {.token_id = 6, .logprob = -1, .rank = 1, .decoded_token = "b", .token_bytes = "b"},
     {.token_id = 7, .logprob = -2, .rank = 2, .decoded_token = "c", .token_bytes = "c"}},
    {{.token_id = 6, .logprob = -INFINITY, .rank = 1, .decoded_token = "b", .token_bytes = "b"}}};

TEST(Logprobs, OfChats) {
  const Json content = chat_logprobs(kSteps, 2, false);
  EXPECT_EQ(content[0].dump(),
            R"({"token":"é","logprob":-3.0,"bytes":[195,169],"top_logprobs":[)"
            R"({"token":"b","logprob":-1.0,"bytes":[98]},{"token":"c","logprob":-2.0,"bytes":[99]}]})");
  EXPECT_EQ(content[1]["logprob"], -9999.0);
  EXPECT_EQ(chat_logprobs(kSteps, 0, true)[0]["token"], "token_id:5");
}

TEST(Logprobs, OfCompletions) {
  CompletionLogprobs logprobs(false);
  logprobs.prompt("0123456789", {});
  EXPECT_EQ(logprobs.steps(kSteps).dump(),
            R"({"text_offset":[10,11],"token_logprobs":[-3.0,-9999.0],)"
            R"("tokens":["é","b"],"top_logprobs":[{"b":-1.0,"c":-2.0,"é":-3.0},{"b":-9999.0}]})");
  EXPECT_EQ(logprobs.steps(kSteps)["text_offset"].dump(), "[12,13]");
}

TEST(CompletionAnswer, AnEchoHasTheLogprobsOfItsPromptOnce) {
  CompletionRequest request;
  request.prompts = {Prompt("éx")};
  request.echo = request.prompt_logprobs = true;
  request.params.logprobs = 1;
  GenerationUpdate first = update(0, "b");
  Logprob x = {.token_id = 9, .logprob = -4, .rank = 2, .decoded_token = "x", .token_bytes = "x"};
  first.prompt_logprobs = {{}, {x}};
  first.choices[0].logprobs = {kSteps[1]};
  GenerationUpdate second = update(0, "b", "stop");
  second.choices[0].logprobs = {kSteps[1]};

  const auto streamed = completion_answer({"id", "m", 5}, request, {{"éx", "é"}});
  const Json chunk = events(streamed->chunks(0, first)).at(0)["choices"][0];
  EXPECT_EQ(chunk["text"], "éxb");
  EXPECT_EQ(chunk["logprobs"].dump(),
            R"({"text_offset":[0,1,2],"token_logprobs":[null,-4.0,-9999.0],)"
            R"("tokens":["é","x","b"],"top_logprobs":[null,{"x":-4.0},{"b":-9999.0}]})");
  EXPECT_EQ(events(streamed->chunks(0, second)).at(0)["choices"][0]["logprobs"]["text_offset"].dump(), "[3]");

  const auto whole = completion_answer({"id", "m", 5}, request, {{"éx", "é"}});
  whole->add(0, first);
  whole->add(0, second);
  const Json choice = parse_json(whole->whole({}))["choices"][0];
  EXPECT_EQ(choice["logprobs"]["text_offset"].dump(), "[0,1,2,3]");
  EXPECT_EQ(choice["prompt_logprobs"].dump(), R"([null,{"9":{"logprob":-4.0,"rank":2,"decoded_token":"x"}}])");
}

}  // namespace
}  // namespace octet::server
