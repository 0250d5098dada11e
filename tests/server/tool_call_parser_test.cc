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

// Answers in the shapes that the models give, cut where their tokenizers cut them: what a stream of them finds
// is what the whole gives, and each call is there with the token that completes it.
struct RecordedAnswer {
  const char* model;
  ToolCallFormat format;
  std::vector<std::string> tokens;
  std::string found;                  // as found_in()
  std::vector<std::size_t> calls_at;  // the tokens that complete a call
};

std::vector<RecordedAnswer> recorded_answers() {
  using enum ToolCallFormat;
  return {
      {"Qwen2.5: a call alone",
       hermes,
       {"<tool_call>", "\n",           "{\"",    "name",        "\":",        " \"", "get",
        "_current",    "_temperature", "\",",    " \"",         "arguments",  "\":", " {\"",
        "location",    "\":",          " \"",    "San",         " Francisco", ",",   " CA",
        ",",           " USA",         "\"}}\n", "</tool_call>"},
       R"(|get_current_temperature({"location":"San Francisco, CA, USA"}))",
       {24}},
      {"Qwen2.5: two calls",
       hermes,
       {"<tool_call>", "\n",          "{\"",       "name", "\":",  " \"", "add",  "\",",
        " \"",         "arguments",   "\":",       " {\"", "a",    "\":", " ",    "1",
        ",",           " \"",         "b",         "\":",  " ",    "2",   "}}\n", "</tool_call>",
        "\n",          "<tool_call>", "\n",        "{\"",  "name", "\":", " \"",  "add",
        "\",",         " \"",         "arguments", "\":",  " {\"", "a",   "\":",  " ",
        "3",           ",",           " \"",       "b",    "\":",  " -",  "4",    "}}\n",
        "</tool_call>"},
       R"(|add({"a":1,"b":2})|add({"a":3,"b":-4}))",
       {23, 48}},
      {"Qwen3: thinking first",
       hermes,
       {"<think>", "\n",   "Okay",     ",",    " the",        " user",       " wants", " 3",   " <",
        " 4",      ".\n",  "</think>", "\n\n", "<tool_call>", "\n",          "{\"",    "name", "\":",
        " \"",     "less", "\",",      " \"",  "arguments",   "\":",         " {\"",   "expr", "\":",
        " \"",     "3",    " <",       " 4",   "\"}}\n",      "</tool_call>"},
       "<think>\nOkay, the user wants 3 < 4.\n</think>|less({\"expr\":\"3 < 4\"})",
       {32}},
      {"Hermes 3, whose tags are no tokens of their own: text, then a call with nested arguments",
       hermes,
       {"I",         "'ll",  " check", ".",       "\n",     "<",     "tool", "_call", ">\n",   "{\"",
        "arguments", "\":",  " {\"",   "filters", "\":",    " {\"",  "tags", "\":",   " [\"",  "a",
        "</",        "b",    "\",",    " null",   "],",     " \"",   "deep", "\":",   " true", "}},",
        " \"",       "name", "\":",    " \"",     "search", "\"}\n", "</",   "tool",  "_call", ">"},
       R"(I'll check.|search({"filters":{"tags":["a</b",null],"deep":true}}))",
       {39}},
      {"Hermes 2 Pro in Python's quotes, which are no JSON",
       hermes,
       {"<tool_call>", "\n", "{'", "name", "':", " '", "f", "',", " '", "arguments", "':", " {}}", "\n",
        "</tool_call>"},
       "<tool_call>\n{'name': 'f', 'arguments': {}}\n</tool_call>",
       {}},
      {"Llama 3.1: a call",
       llama3_json,
       {"{\"",        "name", "\":",  " \"",      "get", "_current", "_conditions", "\",",        " \"",
        "parameters", "\":",  " {\"", "location", "\":", " \"",      "San",         " Francisco", ",",
        " CA",        "\",",  " \"",  "unit",     "\":", " \"",      "F",           "ahrenheit",  "\"}}"},
       R"(|get_current_conditions({"location":"San Francisco, CA","unit":"Fahrenheit"}))",
       {26}},
      {"Llama 3.1 behind its tag, and with the type that it was shown",
       llama3_json,
       {"<|python_tag|>", "{\"",   "type", "\":",    " \"", "function", "\",",        " \"",
        "name",           "\":",   " \"",  "search", "\",", " \"",      "parameters", "\":",
        " {\"",           "query", "\":",  " \"",    "{",   "x",        "}",          "\"}}"},
       R"(|search({"query":"{x}"}))",
       {23}},
      {"Llama 3.2: two calls on lines of their own, as strings",
       llama3_json,
       {"{\"",  "name", "\":", " \"", "add", "\",",        " \"", "parameters", "\":",
        " {\"", "a",    "\":", " \"", "1",   "\"}}",       "\n",  "{\"",        "name",
        "\":",  " \"",  "add", "\",", " \"", "parameters", "\":", " {}}"},
       R"(|add({"a":"1"})|add({}))",
       {14, 25}},
      {"Llama 3.1: an answer in words",
       llama3_json,
       {"I", " don", "'t", " have", " {", "that", "}."},
       "I don't have {that}.",
       {}},
  };
}

TEST(ToolCallParser, RecordedAnswers) {
  for (const RecordedAnswer& recorded : recorded_answers()) {
    SCOPED_TRACE(recorded.model);
    ToolCallParser parser(recorded.format);
    std::string whole, content, calls;
    std::vector<std::size_t> calls_at;
    const auto take = [&](const ToolCallParser::Found& found, std::size_t token) {
      content += found.content;
      for (const ToolCall& call : found.calls) {
        calls += "|" + call.name + "(" + call.arguments + ")";
        calls_at.push_back(token);
      }
    };
    for (std::size_t i = 0; i < recorded.tokens.size(); ++i) {
      whole += recorded.tokens[i];
      take(parser.add(recorded.tokens[i]), i);
    }
    take(parser.finish(), recorded.tokens.size());
    EXPECT_EQ(content + calls, recorded.found);
    EXPECT_EQ(calls_at, recorded.calls_at);
    expect_found(recorded.format, whole, recorded.found);
  }
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

TEST(ToolCallParser, AnArrayOfCallsComesCallByCall) {
  const std::string answer = R"([ {"name":"f","parameters":{"a":"}]"}} ,{"name":"g","parameters":{}}])";
  ToolCallParser parser(ToolCallFormat::array);
  std::vector<std::string> calls;
  std::string content;
  for (const char c : answer) {
    const ToolCallParser::Found found = parser.add({&c, 1});
    for (const ToolCall& call : found.calls) calls.push_back(call.name + call.arguments);
    content += found.content;
  }
  EXPECT_TRUE(parser.finish().calls.empty());
  EXPECT_TRUE(parser.found_calls());
  EXPECT_EQ(calls, (std::vector<std::string>{R"(f{"a":"}]"})", "g{}"}));
  EXPECT_EQ(content, "");
}

TEST(ToolCallParser, TheArgumentsOfOneFunctionAreTheWholeAnswer) {
  ToolCallParser parser(ToolCallFormat::arguments, "f");
  EXPECT_TRUE(parser.add(R"({"a":)").calls.empty());
  EXPECT_TRUE(parser.add("1}").calls.empty());
  const ToolCallParser::Found found = parser.finish();
  ASSERT_EQ(found.calls.size(), 1u);
  EXPECT_EQ(found.calls[0].name + found.calls[0].arguments, R"(f{"a":1})");
}

}  // namespace
}  // namespace octet::server
