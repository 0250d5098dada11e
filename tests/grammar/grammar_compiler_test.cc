#include "grammar/grammar_compiler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace octet::grammar {
namespace {

using engine::is_allowed;
using Json = nlohmann::json;

constexpr std::int32_t kEnd = 256, kSpecial = 257;

// Every byte, an end, a special token, and pieces that go over the borders of what a grammar tells apart.
Vocabulary bytes_and_pieces() {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"", ""});
  for (const char* piece :
       {"{\"",   "\":",  "\": ", "\"}",      "\",\"", "true", "tr", "12",  "1.5", " a", "ab",  "aab", "]}",
        "null,", "\n  ", "é",    "\xf0\x9f", "\\\"",  "-1",   "0",  "a\"", "}}",  "[[", "x\n", "00"})
    vocabulary.tokens.emplace_back(piece);
  vocabulary.end_tokens = {kEnd};
  return vocabulary;
}

AnswerForm json_schema(const std::string& schema) { return {FormKind::json_schema, schema, {}, "json"}; }
AnswerForm regex(const std::string& text) { return {FormKind::regex, text, {}, "regex"}; }

const std::vector<std::string>& tokens() {
  static const std::vector<std::string> texts = bytes_and_pieces().tokens;
  return texts;
}

std::shared_ptr<const engine::TokenGrammar> compile(const AnswerForm& form) {
  static GrammarCompiler compiler(bytes_and_pieces);
  return compiler.compile(form);
}

engine::TokenMask mask_of(engine::TokenMatcher& matcher) {
  engine::TokenMask mask((tokens().size() + 31) / 32);
  matcher.allowed_next(mask);
  return mask;
}

// A random answer: every token equally likely, the end as likely as all others together. Empty where it did not
// end.
std::optional<std::string> random_answer(const engine::TokenGrammar& grammar, std::mt19937_64& random) {
  const auto matcher = grammar.start();
  std::string answer;
  for (int step = 0; step < 400; ++step) {
    const engine::TokenMask mask = mask_of(*matcher);
    std::vector<std::int32_t> allowed;
    for (std::size_t id = 0; id < tokens().size(); ++id)
      if (is_allowed(mask, static_cast<std::int32_t>(id))) allowed.push_back(static_cast<std::int32_t>(id));
    EXPECT_FALSE(is_allowed(mask, kSpecial));
    const bool ends = is_allowed(mask, kEnd) && random() % 2 == 0;
    const std::int32_t token = ends ? kEnd : allowed[random() % allowed.size()];
    if (!matcher->accept(token)) return answer;
    answer += tokens()[static_cast<std::size_t>(token)];
  }
  return std::nullopt;
}

// Answers to the form; those that a random walk brings to an end.
std::vector<std::string> random_answers(const AnswerForm& form, std::uint64_t seed = 1) {
  const auto grammar = compile(form);
  std::mt19937_64 random(seed);
  std::vector<std::string> answers;
  for (int walk = 0; walk < 60; ++walk)
    if (const auto answer = random_answer(*grammar, random)) answers.push_back(*answer);
  EXPECT_GT(answers.size(), 5u) << form.text;
  return answers;
}

// Not every answer is JSON to nlohmann: it wants UTF-8, where the detokenizer writes U+FFFD for what is none,
// and escapes of surrogates in pairs, which the standard leaves to who reads.
Json parsed(std::string answer) {
  for (std::size_t i = 0; i < answer.size(); ++i) {
    if ((answer[i] & 0x80) != 0) answer[i] = '?';
    if (answer[i] != '\\') continue;
    if (answer.at(i + 1) == 'u') answer.replace(i, 6, "______");
    ++i;
  }
  return Json::parse(answer);
}

TEST(GrammarCompiler, IntegersStayInTheirRange) {
  for (const auto& [least, most] :
       std::vector<std::pair<int, int>>{{0, 130}, {-17, 99}, {7, 7}, {-1000, -100}, {95, 1204}}) {
    const std::string schema = R"({"type":"integer","minimum":)" + std::to_string(least) + R"(,"maximum":)" +
                               std::to_string(most) + "}";
    for (const std::string& answer : random_answers(json_schema(schema))) {
      const Json value = Json::parse(answer);
      ASSERT_TRUE(value.is_number_integer()) << answer;
      EXPECT_TRUE(value >= least && value <= most) << answer << " for " << schema;
    }
  }
}

TEST(GrammarCompiler, ObjectsHaveTheirMembers) {
  const auto form = json_schema(
      R"({"type":"object","properties":{"a":{"type":"boolean"},"b":{"enum":["x","y\n\"",null]},
          "c":{"type":"array","items":{"type":"integer","minimum":0,"maximum":9},"minItems":1,"maxItems":3},
          "d":{"type":"string","minLength":2,"maxLength":4}},"required":["a","c","d"],"additionalProperties":false})");
  for (const std::string& answer : random_answers(form)) {
    const Json value = parsed(answer);
    ASSERT_TRUE(value.contains("a") && value["a"].is_boolean()) << answer;
    const auto& items = value.at("c");
    EXPECT_TRUE(items.size() >= 1 && items.size() <= 3) << answer;
    const Json b = value.value("b", Json());
    EXPECT_TRUE(b == "x" || b == "y\n\"" || b.is_null()) << answer;
    const std::size_t bytes = value.at("d").get<std::string>().size();
    EXPECT_TRUE(bytes >= 2 && bytes <= 4 * 4) << answer;
    for (const auto& [name, member] : value.items())
      EXPECT_NE(std::string("abcd").find(name), std::string::npos);
  }
}

TEST(GrammarCompiler, AnyJsonObjectParses) {
  for (const std::string& answer : random_answers({FormKind::json_object, {}, {}, "json_object"})) try {
      EXPECT_TRUE(parsed(answer).is_object()) << answer;
    } catch (const Json::out_of_range&) {  // a number that no double holds
    }
}

TEST(GrammarCompiler, OtherMembersAreNotThoseOfTheSchema) {
  const auto grammar = compile(json_schema(
      R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":{"type":"null"}})"));
  std::mt19937_64 random(7);
  for (int walk = 0; walk < 300; ++walk)
    if (const auto answer = random_answer(*grammar, random)) {
      EXPECT_TRUE(parsed(*answer).at("a").is_number_integer()) << *answer;
    }
}

TEST(GrammarCompiler, ExpressionsMatchTheWholeAnswer) {
  for (const std::string text : {"[ab]{2,4}c?", R"(\d{3}-\d{4})", "(a|bc)*d", "((((a*)*)*)*)*b", "x|yz"}) {
    const std::regex expression(text);
    for (const std::string& answer : random_answers(regex(text)))
      EXPECT_TRUE(std::regex_match(answer, expression)) << answer << " for " << text;
  }
  for (const std::string& answer : random_answers(regex(".{1,3}")))
    EXPECT_EQ(answer.find('\n'), std::string::npos);
  for (const std::string& answer :
       random_answers(json_schema(R"({"type":"string","pattern":"^[a-c]{2}\\d+$"})")))
    EXPECT_TRUE(std::regex_match(Json::parse(answer).get<std::string>(), std::regex("[a-c]{2}\\d+"))) << answer;
}

TEST(GrammarCompiler, AChoiceIsTakenAsItIs) {
  const std::vector<std::string> choices = {"a", "ab", "say \"é\"\n", "back\\slash", "[x]{2}"};
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (const std::string& answer : random_answers({FormKind::choice, {}, choices, "choice"}, seed))
      seen.insert(answer);
  EXPECT_EQ(seen, std::set<std::string>(choices.begin(), choices.end()));
}

TEST(GrammarCompiler, FormatsAreThoseOfTheStandards) {
  const std::vector<std::pair<std::string, std::string>> formats = {
      {"date", R"(\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))"},
      {"time", R"(([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))"},
      {"uuid", R"([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"},
      {"ipv4", R"((\d{1,3}\.){3}\d{1,3})"}};
  for (const auto& [format, expression] : formats)
    for (const std::string& answer :
         random_answers(json_schema(R"({"type":"string","format":")" + format + "\"}")))
      EXPECT_TRUE(std::regex_match(Json::parse(answer).get<std::string>(), std::regex(expression))) << answer;
}

// A token of several bytes may come exactly where its bytes may, one behind the other.
TEST(GrammarCompiler, MasksKnowTokensOfSeveralBytes) {
  const std::vector<AnswerForm> forms = {
      json_schema(
          R"({"type":"object","properties":{"a":{"type":["number","null"]},"ab":{"type":"string"}},"required":["ab"]})"),
      json_schema(R"({"type":"array","items":{"type":"array","items":{"type":"boolean"}}})"),
      regex("(a|aab|x\n)*[^x]{0,2}12"),
      {FormKind::json_object, {}, {}, "json_object"}};
  std::mt19937_64 random(3);
  for (const AnswerForm& form : forms) {
    const auto grammar = compile(form);
    for (int walk = 0; walk < 4; ++walk) {
      const auto matcher = grammar->start();
      std::vector<std::int32_t> bytes;  // so far
      for (int step = 0; step < 12; ++step) {
        const engine::TokenMask mask = mask_of(*matcher);
        std::vector<std::int32_t> allowed;
        for (std::int32_t id = kSpecial + 1; id < static_cast<std::int32_t>(tokens().size()); ++id) {
          const auto probe = grammar->start();
          for (const std::int32_t byte : bytes) probe->accept(byte);
          bool fits = true;
          for (const char c : tokens()[static_cast<std::size_t>(id)]) {
            const auto byte = static_cast<std::int32_t>(static_cast<unsigned char>(c));
            fits = fits && is_allowed(mask_of(*probe), byte);
            if (!fits) break;
            probe->accept(byte);
          }
          ASSERT_EQ(is_allowed(mask, id), fits)
              << tokens()[static_cast<std::size_t>(id)] << " for " << form.text;
        }
        for (std::int32_t id = 0; id < static_cast<std::int32_t>(tokens().size()); ++id)
          if (id != kEnd && is_allowed(mask, id)) allowed.push_back(id);
        if (allowed.empty()) break;
        const std::int32_t token = allowed[random() % allowed.size()];
        matcher->accept(token);
        for (const char c : tokens()[static_cast<std::size_t>(token)])
          bytes.push_back(static_cast<unsigned char>(c));
      }
    }
  }
}

TEST(GrammarCompiler, ASpaceThatTheTextDropsDoesNotBegin) {
  GrammarCompiler compiler([] {
    Vocabulary vocabulary = bytes_and_pieces();
    vocabulary.drops_first_space = true;
    return vocabulary;
  });
  const auto matcher = compiler.compile(regex("[ a]*"))->start();
  EXPECT_FALSE(is_allowed(mask_of(*matcher), ' '));
  EXPECT_TRUE(is_allowed(mask_of(*matcher), 'a'));
  matcher->accept('a');
  EXPECT_TRUE(is_allowed(mask_of(*matcher), ' '));
}

TEST(GrammarCompiler, RefusesWhatItCannotEnforceOrAfford) {
  const std::vector<AnswerForm> forms = {
      regex("(?=a)b"),
      regex(R"((a)\1)"),
      regex("[a-z]{300}"),
      regex("("),
      regex("a^b"),
      json_schema(R"({"type":"string","pattern":"a\"b"})"),
      json_schema(R"({"type":"string","pattern":"[^é]"})"),
      json_schema(R"({"type":"string","pattern":"\\t"})"),
      json_schema(R"({"$ref":"#"})"),
      json_schema(R"({"anyOf":[{"$ref":"#"}]})"),
      json_schema(R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})"),
      json_schema(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"),
      json_schema(R"({"type":"integer","minimum":5,"maximum":4})"),
      json_schema(R"({"type":"integer","multipleOf":7,"minimum":1})"),
      {FormKind::choice, {}, {}, "choice"},
      {FormKind::choice, {}, {""}, "choice"},
      {FormKind::choice, {}, std::vector<std::string>(2000, "a"), "choice"}};
  for (const AnswerForm& form : forms) {
    try {
      compile(form);
      ADD_FAILURE() << "taken: " << form.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_TRUE(error.context().starts_with(form.field)) << error.what();
    }
  }
}

}  // namespace
}  // namespace octet::grammar
