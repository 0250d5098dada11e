#include "files/json_value.h"

#include <string>

#include "files/expect_error.h"
#include "files/safetensors_builder.h"

namespace octet::files {
namespace {

using tests::expect_error;

JsonValue parse(std::string_view text) { return JsonValue::parse(text, "f.json"); }

void expect_invalid(std::initializer_list<std::string_view> words, std::string_view text) {
  expect_error(ErrorCode::invalid_file, words, [&] { parse(text); });
}

TEST(JsonValue, ReadsEveryKind) {
  const JsonValue v =
      parse(R"({"n":null,"t":true,"i":-3,"u":18446744073709551615,"d":1.5,"s":"é\n","a":[1,[2]],"o":{}})");
  EXPECT_TRUE(v.is_object());
  EXPECT_FALSE(v.find("n"));
  EXPECT_FALSE(v.find("absent"));
  EXPECT_TRUE(v.at("t").as_bool());
  EXPECT_EQ(v.at("i").as_int(), -3);
  EXPECT_DOUBLE_EQ(v.at("u").as_double(), 18446744073709551615.0);
  EXPECT_DOUBLE_EQ(v.at("d").as_double(), 1.5);
  EXPECT_EQ(v.at("s").as_string(), "é\n");
  EXPECT_EQ(v.at("a").elements()[1].elements()[0].as_int(), 2);
  EXPECT_TRUE(v.at("o").keys().empty());
  EXPECT_TRUE(parse("[null]").elements()[0].is_null());
}

TEST(JsonValue, KeepsTheOrderOfMembersAndFindsThemInLargeObjects) {
  std::string text = "{";
  for (int i = 99; i >= 0; --i)
    text.append("\"k").append(std::to_string(i)).append("\":").append(std::to_string(i)).append(i ? "," : "}");
  const JsonValue v = parse(text);
  ASSERT_EQ(v.keys().size(), 100u);
  EXPECT_EQ(v.keys().front(), "k99");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(v.at(std::string("k").append(std::to_string(i))).as_int(), i);
  EXPECT_FALSE(v.find("k100"));
}

TEST(JsonValue, OutlivesTheValueThatItCameFrom) {
  JsonValue inner = parse("1");
  {
    const JsonValue outer = parse(R"({"a":{"b":[10,"kept"]}})");
    inner = outer.at("a").at("b").elements()[1];
  }
  EXPECT_EQ(inner.as_string(), "kept");
  EXPECT_EQ(inner.path(), "a.b[1]");
  EXPECT_EQ(inner.file(), "f.json");
}

TEST(JsonValue, DumpsCompactText) {
  const char* text = R"({"b":[1,-2,2.5,"q\"\n",null,true],"a":{"x":18446744073709551615}})";
  EXPECT_EQ(parse(text).dump(), text);
}

TEST(JsonValue, InvalidTextNamesLineAndColumn) {
  expect_invalid({"f.json", "line 2, column 5", "invalid JSON"}, "{\n\"a\":}");
  expect_invalid({"f.json", "line 1"}, "");
  expect_invalid({"invalid JSON"}, "{\"a\":1");
  expect_invalid({"invalid JSON"}, "[1,]");
  expect_invalid({"invalid JSON"}, "{} {}");
  expect_invalid({"invalid JSON"}, "[NaN]");
  expect_invalid({"invalid JSON"}, "[1e999]");
  expect_invalid({"invalid JSON", "UTF-8"}, "[\"\xff\"]");
  expect_invalid({"invalid JSON"}, "[\"\xed\xa0\x80\"]");  // a surrogate
  expect_invalid({"invalid JSON"}, R"(["\ud800"])");
  expect_invalid({"invalid JSON"}, std::string_view("[1\0]", 4));
}

TEST(JsonValue, MemberThatStandsTwiceIsAnError) {
  expect_invalid({"a.x", "twice"}, R"({"a":{"x":1,"y":2,"x":3}})");
  std::string many = "{";
  for (int i = 0; i < 50; ++i) many.append("\"k").append(std::to_string(i)).append("\":0,");
  expect_invalid({"k7", "twice"}, many + "\"k7\":1}");
}

TEST(JsonValue, DeepNestingIsAnErrorAndNoStackOverflow) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse(nested(256)).is_array());
  EXPECT_EQ(parse(nested(256)).dump(), nested(256));
  expect_invalid({"f.json", "256 levels"}, nested(257));
  expect_invalid({"256 levels"}, nested(1000000));
  expect_invalid({"256 levels"}, std::string(1000000, '['));
}

TEST(JsonValue, WrongTypesNameThePathAndWhatWasFound) {
  const JsonValue v = parse(R"({"a":{"b":[1,"x"]},"f":1.0,"big":18446744073709551615})");
  const auto invalid = [](std::initializer_list<std::string_view> words, auto&& action) {
    expect_error(ErrorCode::invalid_file, words, action);
  };
  invalid({"f.json: a.b[1]", "expected an integer", "\"x\""},
          [&] { v.at("a").at("b").elements()[1].as_int(); });
  invalid({"a.b", "expected a string", "an array"}, [&] { v.at("a").at("b").as_string(); });
  invalid({"a.b[0]", "expected true or false", "1"}, [&] { v.at("a").at("b").elements()[0].as_bool(); });
  invalid({"f.json: a", "expected a number", "an object"}, [&] { v.at("a").as_double(); });
  invalid({"f.json: a", "expected an array"}, [&] { v.at("a").elements(); });
  invalid({"f.json: f", "expected an object", "1.0"}, [&] { v.at("f").find("x"); });
  invalid({"f.json: f", "expected an object"}, [&] { v.at("f").keys(); });
  invalid({"f.json: f", "expected an integer", "1.0"}, [&] { v.at("f").as_int(); });
  invalid({"f.json: big", "expected an integer"}, [&] { v.at("big").as_int(); });
  invalid({"a.b[0]", "from 2 to 9", "found 1"}, [&] { v.at("a").at("b").elements()[0].as_int(2, 9); });
  invalid({"f.json: a.c", "missing"}, [&] { v.at("a").at("c"); });
  invalid({"f.json: a", "own words"}, [&] { v.at("a").fail("own words"); });
}

TEST(JsonValue, HugeAndUnprintableTextIsCutInErrors) {
  const JsonValue v =
      parse("{\"" + std::string(100000, 'k') + "\":\"\\u0007" + std::string(100000, 'x') + "\"}");
  try {
    v.at(v.keys()[0]).as_int();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 400u);
    EXPECT_EQ(std::string(error.what()).find('\a'), std::string::npos);
  }
}

TEST(JsonValue, ReadsFilesAndRefusesWhatIsNone) {
  const tests::TempFolder folder;
  EXPECT_EQ(JsonValue::read_file(folder.write("ok.json", "[7]")).elements()[0].as_int(), 7);
  expect_error(ErrorCode::not_found, {"none.json", "no such file"},
               [&] { JsonValue::read_file(folder.file("none.json")); });
  expect_error(ErrorCode::io, {"folder"}, [&] { JsonValue::read_file(folder.path()); });
  expect_error(ErrorCode::invalid_file, {"empty.json", "invalid JSON"},
               [&] { JsonValue::read_file(folder.write("empty.json", "")); });
  const std::string large = folder.write("large.json", "{}");
  std::filesystem::resize_file(large, (std::uintmax_t{256} << 20) + 1);
  expect_error(ErrorCode::invalid_file, {"large.json", "268435456"}, [&] { JsonValue::read_file(large); });
}

}  // namespace
}  // namespace octet::files
