#include "server/completion_request.h"

#include <gtest/gtest.h>

#include "server/refused_field.h"

namespace octet::server {
namespace {

CompletionRequest parse_prompt(const std::string& prompt, const std::string& more = "") {
  return parse_completion_request("{\"prompt\":" + prompt + more + "}", {});
}

using Ids = std::vector<std::int32_t>;

TEST(CompletionRequest, ReadsPromptsOfAllFourKinds) {
  EXPECT_EQ(parse_prompt(R"("a")").prompts.at(0).text, "a");
  EXPECT_EQ(parse_prompt("[1,2]").prompts.size(), 1u);
  EXPECT_EQ(parse_prompt("[1,2]").prompts[0].token_ids, (Ids{1, 2}));
  EXPECT_EQ(parse_prompt(R"(["a","b"])").prompts.at(1).text, "b");
  EXPECT_EQ(parse_prompt("[[1],[2,3]]").prompts.at(1).token_ids, (Ids{2, 3}));
}

TEST(CompletionRequest, NamesTheFieldThatIsWrong) {
  for (const auto& [prompt, path] :
       std::vector<std::pair<std::string, std::string>>{{"null", "prompt"},
                                                        {"5", "prompt"},
                                                        {"{}", "prompt"},
                                                        {"[]", "prompt"},
                                                        {R"([1,"a"])", "prompt[1]"},
                                                        {R"(["a",1])", "prompt[1]"},
                                                        {"[[1],[2,-3]]", "prompt[1][1]"},
                                                        {"[1.5]", "prompt[0]"}})
    EXPECT_EQ(refused_field([&, &given = prompt] { parse_prompt(given); }), path) << prompt;
  for (const auto& [field, path] : std::vector<std::pair<std::string, std::string>>{
           {R"("suffix":"b")", "suffix"},
           {R"("echo":1)", "echo"},
           {R"("prompt_logprobs":1.5)", "prompt_logprobs"},
           {R"("stream":true,"prompt_logprobs":1)", "prompt_logprobs"},
           {R"("logprobs":true)", "logprobs"},
           {R"("max_tokens":"1")", "max_tokens"},
           {R"("add_special_tokens":1)", "add_special_tokens"}})
    EXPECT_EQ(refused_field([&, &given = field] { parse_prompt("\"a\"", "," + given); }), path) << field;
}

TEST(CompletionRequest, DefaultsToSixteenTokens) {
  EXPECT_EQ(parse_prompt("\"a\"").params.max_tokens, 16);
  EXPECT_EQ(parse_prompt("\"a\"", R"(,"max_tokens":null,"suffix":"")").params.max_tokens, 16);
  EXPECT_EQ(parse_prompt("\"a\"", R"(,"logprobs":3)").params.logprobs, 3);
  EXPECT_EQ(parse_prompt("\"a\"", R"(,"logprobs":3)").params.prompt_logprobs, std::nullopt);
  EXPECT_EQ(parse_prompt("\"a\"", R"(,"logprobs":3,"echo":true)").params.prompt_logprobs, 3);
}

TEST(TokenizeRequest, TakesAPromptOrMessages) {
  EXPECT_TRUE(parse_tokenize_request(R"({"prompt":"a"})").add_special_tokens);
  const auto chat = parse_tokenize_request(R"({"messages":[{"role":"user","content":"a"}]})");
  EXPECT_FALSE(chat.add_special_tokens);
  EXPECT_EQ(chat.chat->messages_json, R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(refused_field([] { parse_tokenize_request("{}"); }), "prompt");
  EXPECT_EQ(refused_field([] { parse_tokenize_request(R"({"prompt":"a","messages":[]})"); }), "prompt");
  EXPECT_EQ(refused_field([] { parse_detokenize_request("{}"); }), "tokens");
  EXPECT_EQ(refused_field([] { parse_detokenize_request(R"({"tokens":[1,null]})"); }), "tokens[1]");
}

}  // namespace
}  // namespace octet::server
