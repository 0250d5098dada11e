#include "llm/chat_rendering.h"

#include <gtest/gtest.h>

#include <string>

#include "files/json_value.h"
#include "llm/tiny_llm.h"

namespace octet::llm {
namespace {

text::Tokenizer tokenizer() {
  const tests::ScratchFolder folder;
  tests::write_tiny_llm(folder.path());
  return text::Tokenizer::load(folder.path().string());
}

TEST(ChatVariables, CarryEveryCharacterOfTheMessages) {
  const std::string content = "a \"quote\" \\ \n\t\x01 é €";
  const auto variables = files::JsonValue::parse(chat_variables({{"user", content}}, tokenizer()), "variables");
  EXPECT_EQ(variables.at("messages").elements().at(0).at("content").as_string(), content);
  EXPECT_EQ(variables.at("messages").elements().at(0).at("role").as_string(), "user");
  EXPECT_TRUE(variables.at("add_generation_prompt").as_bool());
  EXPECT_EQ(variables.at("eos_token").as_string(), "<|end|>");
  EXPECT_FALSE(variables.find("bos_token"));  // the tiny tokenizer names none
}

TEST(RenderChat, FollowsTheTemplate) {
  const auto chat_template = text::ChatTemplate::parse(tests::kTinyChatTemplate, "template");
  EXPECT_EQ(render_chat(chat_template, {{"user", "Hi"}, {"assistant", "Yo"}, {"user", "?"}}, tokenizer(), "c"),
            "<|user|>Hi<|end|><|assistant|>Yo<|end|><|user|>?<|end|><|assistant|>");
}

TEST(RenderChat, RefusesNoMessagesAndBadText) {
  const auto chat_template = text::ChatTemplate::parse(tests::kTinyChatTemplate, "template");
  const auto tokens = tokenizer();
  const Error none = tests::error_of([&] { render_chat(chat_template, {}, tokens, "conversation 3"); });
  EXPECT_EQ(none.code(), ErrorCode::invalid_argument);
  EXPECT_EQ(none.context(), "conversation 3");
  const Error bad = tests::error_of([&] {
    render_chat(chat_template, {{"user", "a\xC0z"}}, tokens, "conversation 3");
  });
  EXPECT_EQ(bad.code(), ErrorCode::invalid_argument);
  EXPECT_EQ(bad.context(), "conversation 3, message 0, content");
}

}  // namespace
}  // namespace octet::llm
