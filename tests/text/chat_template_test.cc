#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "rendered.h"

namespace octet::text {
namespace {

using Json = nlohmann::ordered_json;

Json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

// The golden chats, rendered by transformers with the model's own template.
TEST(ChatTemplate, RendersTheGoldenChats) {
  const char* from_environment = std::getenv("OCTET_TEST_MODEL");
  const std::filesystem::path model =
      from_environment ? from_environment : OCTET_SOURCE_DIR "/models/smollm2-135m-instruct";
  const std::filesystem::path config = model / "tokenizer_config.json";
  if (!std::filesystem::exists(config))
    GTEST_SKIP() << "no model at " << model << " (scripts/get-model makes it)";
  const Json tokenizer_config = read_json(config);
  const ChatTemplate chat_template =
      ChatTemplate::parse(tokenizer_config.at("chat_template").get<std::string>(), config.string());
  const Json chats = read_json(OCTET_SOURCE_DIR "/tests/golden/tokenizer.json").at("chat");
  ASSERT_FALSE(chats.empty());
  for (const Json& chat : chats) {
    const Json variables = {{"messages", chat.at("messages")},
                            {"add_generation_prompt", chat.at("add_generation_prompt")},
                            {"bos_token", tokenizer_config.value("bos_token", "")},
                            {"eos_token", tokenizer_config.value("eos_token", "")}};
    EXPECT_EQ(chat_template.render(variables.dump()), chat.at("rendered").get<std::string>());
  }
}

TEST(ChatTemplate, OneTemplateRendersInManyThreads) {
  const ChatTemplate chat_template = ChatTemplate::parse(
      "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for w in words %}{{ m(w) }}{% endfor %}{{ [1, 'a'] }}", "t");
  std::vector<std::string> results(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) {
        results[i] = chat_template.render(R"({"words": ["a", )" + std::to_string(i) + "]}");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i], "<a><" + std::to_string(i) + ">[1, 'a']");
  }
}

TEST(ChatTemplate, VariablesKeepTheOrderAndTypesOfTheJson) {
  EXPECT_EQ(rendered("{{ v }}", R"({"v": {"z": 1, "a": [1.0, true, null, "x\u00e9"], "z": 2}})"),
            "{'z': 2, 'a': [1.0, True, None, 'xé']}");
  EXPECT_EQ(rendered("{{ v is integer }} {{ v }}", R"({"v": 9223372036854775807})"),
            "True 9223372036854775807");
  EXPECT_EQ(rendered("{{ v is float }} {{ v }}", R"({"v": 9223372036854775808})"),
            "True 9.223372036854776e+18");
  EXPECT_EQ(rendered("{{ v }}", R"({"v": -12345678901234567890123})"), "-1.2345678901234568e+22");
}

TEST(ChatTemplate, InvalidVariablesAreErrors) {
  EXPECT_NE(error_of("x", "{").find("t: the variables are not valid JSON"), std::string::npos);
  EXPECT_NE(error_of("x", "[]").find("the variables are a JSON array, not an object"), std::string::npos);
  EXPECT_NE(error_of("x", "{\"a\": \"\xff\"}").find("not valid JSON"), std::string::npos);
  const std::string deep = "{\"a\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_NE(error_of("x", deep).find("nested more than 100 deep"), std::string::npos);
}

TEST(ChatTemplate, ValuesPrintAsInPython) {
  EXPECT_EQ(rendered("{{ true }} {{ none }} {{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ missing }}"),
            "True None 1.0 1e+16 1e-05 ");
  EXPECT_EQ(rendered("{{ ['it\\'s', \"q\\\"\", 'both\\'\"', '\\n\\x00é\\u200b'] }}"),
            "[\"it's\", 'q\"', 'both\\'\"', '\\n\\x00é\\u200b']");
  EXPECT_EQ(rendered("{{ (1,) }} {{ () }} {{ {1: {'a': ()}} }} {{ range(1, 9, 2) }}"),
            "(1,) () {1: {'a': ()}} range(1, 9, 2)");
}

TEST(ChatTemplate, LoopsKnowWhereTheyAre) {
  EXPECT_EQ(rendered("{% for x in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}"
                     "{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.length }} {% endfor %}"),
            "103TrueFalseb3 212FalseFalseac3 321FalseTrueb3 ");
  EXPECT_EQ(
      rendered("{% for x in range(9) if x % 2 %}{% if x == 5 %}{% break %}{% endif %}{{ x }}/{{ loop.length }} "
               "{% else %}none{% endfor %}"),
      "1/4 3/4 ");
  EXPECT_EQ(rendered("{% for k, v in {'a': 1, 'b': 2}.items() %}{% if v == 1 %}{% continue %}{% endif %}{{ k }}"
                     "{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}"),
            "bempty");
}

TEST(ChatTemplate, VariablesOfABlockEndWithIt) {
  EXPECT_EQ(rendered("{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}"),
            "231");
  EXPECT_EQ(
      rendered(
          "{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
      "3");
  EXPECT_EQ(rendered("{% if true %}{% set x = 1 %}{% endif %}{{ x }}"), "1");
  EXPECT_EQ(rendered("{% generation %}{% set x = 1 %}said{% endgeneration %}{{ x }}"), "said");
}

TEST(ChatTemplate, MacrosTakeArgumentsAndCallers) {
  EXPECT_EQ(rendered("{% macro m(a, b=a ~ '!') %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
                     "{{ m(1) }} {{ m(1, 2, 3, x=4) }}"),
            "11!(){} 12(3,){'x': 4}");
  EXPECT_EQ(
      rendered("{% macro m() %}[{{ caller('x') }}]{% endmacro %}{% call(v) m() %}{{ v }}{{ v }}{% endcall %}"),
      "[xx]");
  EXPECT_EQ(rendered("{% macro f(n) %}{{ n }}{{ f(n - 1) if n }}{% endmacro %}{{ f(3) }}"), "3210");
}

// transformers' tojson, not Jinja's: no HTML escaping, and characters as they are.
TEST(ChatTemplate, JsonIsWrittenAsJsonDumpsDoes) {
  EXPECT_EQ(rendered("{{ v | tojson }}", R"({"v": {"b": [1, 2.0, null], "a": "é<\"\u0001"}})"),
            R"({"b": [1, 2.0, null], "a": "é<\"\u0001"})");
  EXPECT_EQ(rendered("{{ v | tojson(indent=2, sort_keys=true) }}", R"({"v": {"b": [], "a": [{}]}})"),
            "{\n  \"a\": [\n    {}\n  ],\n  \"b\": []\n}");
  EXPECT_EQ(rendered("{{ '🙂é' | tojson(ensure_ascii=true) }}"), "\"\\ud83d\\ude42\\u00e9\"");
}

// Jinja's filters return generators, which are true even when empty and can be used only once.
TEST(ChatTemplate, GeneratorsAreNotLists) {
  EXPECT_EQ(rendered("{{ 'yes' if [] | select else 'no' }}"), "yes");
  EXPECT_EQ(rendered("{% set g = [1, 2] | map('string') %}{{ g | join }}|{{ g | join }}"), "12|");
  EXPECT_EQ(error_of("{{ [1] | select | length }}"), "t:1:19: object of type 'generator' has no len()");
}

TEST(ChatTemplate, TimeIsFormatted) {
  const std::string year = rendered("{{ strftime_now('%Y') }}");
  EXPECT_GE(std::stoi(year), 2024);
  EXPECT_EQ(rendered("{{ strftime_now('%d %b %Y, 100%%, é') | length }}"), "20");
}

}  // namespace
}  // namespace octet::text
