#include "server/tool_call_parser.h"

#include <gtest/gtest.h>

namespace octet::server {
namespace {

// What is found in an answer that comes `step` bytes at a time: "text|name(arguments)|…".
std::string found_in(ToolCallFormat format, const std::string& answer, std::size_t step) {
  ToolCallParser parser(format);
  std::string content, calls;
  const auto take = [&](const ToolCallParser::Found& found) {
    content += found.content;
    for (const ToolCall& call : found.calls) calls += "|" + call.name + "(" + call.arguments + ")";
  };
  for (std::size_t i = 0; i < answer.size(); i += step) take(parser.add(answer.substr(i, step)));
  take(parser.finish());
  EXPECT_EQ(parser.found_calls(), !calls.empty());
  return content + calls;
}

void expect_found(ToolCallFormat format, const std::string& answer, const std::string& expected) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}, answer.size() + 1})
    EXPECT_EQ(found_in(format, answer, step), expected) << answer << " by " << step;
}

TEST(ToolCallParser, Hermes) {
  const auto expect = [](const std::string& answer, const std::string& expected) {
    expect_found(ToolCallFormat::hermes, answer, expected);
  };
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"z\": 1, \"a\": [2]}}\n</tool_call>";
  const std::string found = "|f({\"z\":1,\"a\":[2]})";
  expect("Hello.\n", "Hello.\n");
  expect("a < b <tool <tool_cal", "a < b <tool <tool_cal");
  expect(call, found);
  expect("Wait.\n\n" + call + "\n" + call + "\n", "Wait." + found + found);
  expect(call + "\nDone.", "\nDone." + found);
  expect("<tool_call>{\"name\": \"g\"}", "|g({})");  // the end token in place of the closing tag
  expect("<tool_call>{\"name\": \"g\", \"argu", "<tool_call>{\"name\": \"g\", \"argu");
  expect(" a \n<tool_call>nonsense</tool_call> \n", " a \n<tool_call>nonsense</tool_call> \n");
  expect("<tool_call>nonsense</tool_call>", "<tool_call>nonsense</tool_call>");
  expect("<tool_call>{\"name\": 5}</tool_call>!", "<tool_call>{\"name\": 5}</tool_call>!");
  expect("<tool_call>{\"name\": \"g\", \"arguments\": \"x\"}</tool_call>",
         "<tool_call>{\"name\": \"g\", \"arguments\": \"x\"}</tool_call>");
}

TEST(ToolCallParser, Llama) {
  const auto expect = [](const std::string& answer, const std::string& expected) {
    expect_found(ToolCallFormat::llama3_json, answer, expected);
  };
  const std::string call = R"({"name": "f", "parameters": {"s": "a } \" {"}})";
  const std::string found = R"(|f({"s":"a } \" {"}))";
  expect("Hello {x}.", "Hello {x}.");
  expect(call, found);
  expect("<|python_tag|>" + call, found);
  expect("\n" + call + "; " + call + "\n", found + found);
  expect("{\"x\": 1}", "{\"x\": 1}");
  expect("{\"name\": \"f\", \"param", "{\"name\": \"f\", \"param");
  expect("<|python", "<|python");
  expect("<|python_tag|>", "<|python_tag|>");
  expect("<|python_tag|> ", "<|python_tag|> ");
  expect("{}}", "{}}");
}

TEST(ToolCallParser, TextIsNotHeldBackForLong) {
  ToolCallParser parser(ToolCallFormat::hermes);
  EXPECT_EQ(parser.add("Hello <to").content, "Hello");
  EXPECT_EQ(parser.add("w").content, " <tow");
  ToolCallParser llama(ToolCallFormat::llama3_json);
  EXPECT_EQ(llama.add("He").content, "He");
  EXPECT_EQ(llama.add("{").content, "{");
}

TEST(ToolCallParser, Formats) {
  EXPECT_EQ(tool_call_format("hermes"), ToolCallFormat::hermes);
  EXPECT_EQ(tool_call_format("llama3_json"), ToolCallFormat::llama3_json);
  EXPECT_EQ(tool_call_format("mistral"), std::nullopt);
}

}  // namespace
}  // namespace octet::server
