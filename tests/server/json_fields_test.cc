#include "server/json_fields.h"

#include <gtest/gtest.h>

#include "server/refused_field.h"

namespace octet::server {
namespace {

TEST(ParseJson, RefusesWhatIsNoneOrHasABadShape) {
  const std::string deep(65, '['), shallow = std::string(64, '[') + std::string(64, ']');
  EXPECT_NO_THROW(parse_json(shallow));
  std::string wide = "{";
  for (int i = 0; i < 1025; ++i) wide += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
  wide += "}";
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("{} x"), std::string("\"\xff\""),
        std::string("\"\\ud800\""), std::string("nan"), deep, wide, std::string("{\"a\":1,}")})
    EXPECT_THROW(parse_json(text), ApiError) << text.substr(0, 40);
}

TEST(ParseJson, MessagesDoNotQuoteTheText) {
  try {
    parse_json(R"({"prompt": "secret" secret})");
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("byte 21"), std::string::npos) << error.what();
  }
}

TEST(ParseJson, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_json(R"({"z":1,"a":{"y":2,"b":3}})").dump(), R"({"z":1,"a":{"y":2,"b":3}})");
}

TEST(IntegerAt, TakesWholeNumbersInRangeOnly) {
  const auto read = [](const char* text) { return integer_at(parse_json(text), "n", -5, INT64_MAX); };
  EXPECT_EQ(read("7"), 7);
  EXPECT_EQ(read("7.0"), 7);
  EXPECT_EQ(read("-5"), -5);
  EXPECT_EQ(read("9223372036854775807"), INT64_MAX);
  for (const char* text :
       {"-6", "7.5", "true", "\"7\"", "[7]", "9223372036854775808", "1e30", "-1e30", "1e400"})
    EXPECT_THROW(read(text), ApiError) << text;
}

TEST(Fields, NullIsAbsentAndPathsAreComplete) {
  const Json object = parse_json(R"({"a": null, "b": true, "c": 1})");
  const Fields fields(object, "outer[2]");
  EXPECT_EQ(fields.boolean("a"), std::nullopt);
  EXPECT_EQ(fields.boolean("z"), std::nullopt);
  EXPECT_EQ(fields.boolean("b"), true);
  EXPECT_EQ(refused_field([&] { fields.boolean("c"); }), "outer[2].c");
  EXPECT_EQ(refused_field([&] { fields.string("c"); }), "outer[2].c");
  EXPECT_EQ(refused_field([&] { fields.array("c"); }), "outer[2].c");
  EXPECT_EQ(refused_field([&] { fields.object("b"); }), "outer[2].b");
  EXPECT_EQ(refused_field([&] { Fields(*fields.find("b"), "inner"); }), "inner");
}

}  // namespace
}  // namespace octet::server
