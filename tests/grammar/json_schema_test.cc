#include "grammar/json_schema.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace octet::grammar {
namespace {

std::string refused_at(const std::string& schema) {
  try {
    check_json_schema(schema, "json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.context();
  }
  return "";
}

TEST(JsonSchema, TakesWhatIsEnforced) {
  for (
      const char* schema :
      {"true", "{}", R"({"type":"object","title":"x","x-order":1})",
       R"({"type":"object","properties":{"a":{"type":"string","maxLength":5},"b":{"type":["integer","null"],"minimum":1}},
               "required":["a"],"additionalProperties":false})",
       R"({"$defs":{"n":{"type":"array","items":{"$ref":"#/$defs/n"}}},"$ref":"#/$defs/n","description":"d"})",
       R"({"anyOf":[{"type":"null"},{"$ref":"#"}]})", R"({"enum":["a",1],"type":["string","integer"]})",
       R"({"const":1.5,"type":"number"})", R"({"type":"string","format":"date-time"})",
       R"({"type":["string","array","integer"],"maxLength":3,"items":{"type":"null"},"minimum":1})",
       R"({"allOf":[{"type":"integer","minimum":-5,"exclusiveMaximum":7}]})",
       R"({"type":"array","prefixItems":[{"type":"null"}],"items":false,"minItems":1})"})
    EXPECT_EQ(refused_at(schema), "") << schema;
}

TEST(JsonSchema, RefusesWhatIsNotByItsPath) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "json"},
      {"1", "json"},
      {"false", "json"},
      {R"({"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}})",
       "json.properties.a.uniqueItems"},
      {R"({"not":{}})", "json.not"},
      {R"({"maxLength":3})", "json.maxLength"},
      {R"({"type":"string","pattern":"a","maxLength":3})", "json.maxLength"},
      {R"({"type":"string","format":"email"})", "json.format"},
      {R"({"type":"number","multipleOf":0.1})", "json.multipleOf"},
      {R"({"type":["integer","number"],"multipleOf":2})", "json.multipleOf"},
      {R"({"type":"text"})", "json.type"},
      {R"({"type":"integer","maximum":1.5})", "json.maximum"},
      {R"({"type":"integer","maximum":"7"})", "json.maximum"},
      {R"({"type":"integer","minimum":1e300})", "json.minimum"},
      {R"({"type":"string","minLength":-1})", "json.minLength"},
      {R"({"type":"array","maxItems":1e9})", "json.maxItems"},
      {R"({"anyOf":[]})", "json.anyOf"},
      {R"({"anyOf":[{"type":"null"},{"if":{}}]})", "json.anyOf[1].if"},
      {R"({"allOf":[{},{}]})", "json.allOf"},
      {R"({"$ref":"#","type":"object"})", "json.type"},
      {R"({"$ref":"https://example.com/s"})", "json.$ref"},
      {R"({"$ref":"#/$defs/a","$defs":{}})", "json.$ref"},
      {R"({"enum":["a"],"type":"integer"})", "json.type"},
      {R"({"enum":[]})", "json.enum"},
      {R"({"type":"object","required":["a"]})", "json.required[0]"},
      {R"({"type":"object","properties":[]})", "json.properties"},
      {R"({"type":"string","pattern":"[a-z]{300}"})", "json.pattern"},
      {R"({"type":"string","pattern":7})", "json.pattern"},
      {R"({"type":"object","patternProperties":{"a":{}}})", "json.patternProperties"}};
  for (const auto& [schema, path] : cases) EXPECT_EQ(refused_at(schema), path) << schema;
}

TEST(JsonSchema, HasLimits) {
  std::string deep = "{}", wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 40; ++i) deep = R"({"type":"array","items":)" + deep + "}";
  for (int i = 0; i < 1001; ++i) wide += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":{}";
  EXPECT_NE(refused_at(deep), "");
  EXPECT_NE(refused_at(wide + "}}"), "");
  EXPECT_NE(refused_at(std::string(100000, '[')), "");
  EXPECT_NE(refused_at(R"({"description":")" + std::string(70000, 'x') + "\"}"), "");
}

}  // namespace
}  // namespace octet::grammar
