#include "files/json_edit.h"

#include "files/expect_error.h"
#include "files/json_value.h"

namespace octet::files {
namespace {

using tests::expect_error;

TEST(JsonEdit, SetsAMemberAndKeepsTheOthers) {
  const std::string before =
      "{\"rope_theta\": 100000.0, \"rms_norm_eps\": 1e-05, \"big\": 18446744073709551615, \"q\": {\"a\": "
      "[1]},\n"
      "\"text\": \"\u00e9\\n\", \"no\": null, \"tenth\": 0.1}";
  const JsonValue after = JsonValue::parse(set_json_member(before, "q", R"({"b": true})", "c.json"), "c.json");
  EXPECT_EQ(after.keys(),
            (std::vector<std::string>{"rope_theta", "rms_norm_eps", "big", "q", "text", "no", "tenth"}));
  EXPECT_EQ(after.at("q").dump(), R"({"b":true})");
  EXPECT_EQ(after.at("rms_norm_eps").as_double(), 1e-5);
  EXPECT_EQ(after.at("tenth").as_double(), 0.1);
  EXPECT_EQ(after.at("big").dump(), "18446744073709551615");
  EXPECT_EQ(after.at("text").as_string(), "\u00e9\n");
}

TEST(JsonEdit, AddsAMemberAtTheEnd) {
  EXPECT_EQ(set_json_member(R"({"a":1.0})", "new", "[2]", "c.json"),
            "{\n  \"a\": 1.0,\n  \"new\": [\n    2\n  ]\n}\n");
  expect_error(ErrorCode::invalid_file, {"c.json"}, [] { set_json_member("[1]", "a", "1", "c.json"); });
}

TEST(JsonEdit, QuotesText) { EXPECT_EQ(json_string("a\"b\n\u00e9"), "\"a\\\"b\\n\u00e9\""); }

}  // namespace
}  // namespace octet::files
