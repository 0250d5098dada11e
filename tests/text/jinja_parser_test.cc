#include "text/jinja_parser.h"

#include <gtest/gtest.h>

#include <string>

#include "rendered.h"

namespace octet::text {
namespace {

ErrorCode code_of(std::string_view source) {
  try {
    ChatTemplate::parse(source, "t").render("{}");
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::internal;
}

TEST(JinjaParser, PrecedenceIsJinjas) {
  EXPECT_EQ(rendered("{{ 2 + 3 * 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7 // 2 * 2 }}"), "194 4 6");
  EXPECT_EQ(rendered("{{ 2 * 3 ~ 4 }} {{ 'a' | upper ~ 'b' }}"), "64 Ab");
  EXPECT_EQ(rendered("{{ not 1 == 2 and true }} {{ 1 < 2 < 3 }} {{ 1 if 0 else 2 if 0 else 3 }}"),
            "True True 3");
  EXPECT_EQ(rendered("{{ -5 | abs }} {{ 3 is odd and 'b' in 'abc' }} {{ 6 is divisibleby 3 }}"), "5 True True");
}

TEST(JinjaParser, UnsupportedConstructsAreRefusedWhenParsing) {
  EXPECT_EQ(error_of("x\n  {% include 'a' %}"), "t:2:6: the tag 'include' is not supported in chat templates");
  EXPECT_EQ(error_of("{{ 1 | nope }}"), "t:1:8: unsupported filter 'nope'");
  EXPECT_EQ(error_of("{% if false %}{{ 1 is nope }}{% endif %}"), "t:1:23: unsupported test 'nope'");
  EXPECT_EQ(error_of("{% for x in y recursive %}{% endfor %}"), "t:1:15: recursive loops are not supported");
  EXPECT_EQ(error_of("{{ 99999999999999999999 }}"),
            "t:1:4: the number 99999999999999999999 does not fit in 64 bits");
  EXPECT_EQ(code_of("{{ 1 | nope }}"), ErrorCode::unsupported);
  EXPECT_EQ(code_of("{% extends 'x' %}"), ErrorCode::unsupported);
  EXPECT_EQ(code_of("{{ 1 + }}"), ErrorCode::invalid_file);
  EXPECT_EQ(code_of("{{ 1 + 'a' }}"), ErrorCode::invalid_file);  // seen when rendering, and the same fault
  EXPECT_EQ(code_of("{{ raise_exception('no') }}"), ErrorCode::invalid_argument);
}

TEST(JinjaParser, ErrorsSayWhere) {
  EXPECT_EQ(error_of("a\n b {{ 1 + }}"), "t:2:11: expected an expression, found '}}'");
  EXPECT_EQ(error_of("{{ a b }}"), "t:1:6: expected '}}', found 'b'");
  EXPECT_EQ(error_of("{% %}"), "t:1:4: expected the name of a tag, found '%}'");
  EXPECT_EQ(error_of("{% nope %}"), "t:1:4: unexpected tag 'nope'");
  EXPECT_EQ(error_of("\n{% if x %}\ny"), "t:2:4: 'if' is never closed");
  EXPECT_EQ(error_of("{% if x %}{% endfor %}"),
            "t:1:14: unexpected tag 'endfor': 'if' of line 1 wants 'elif' 'else' 'endif'");
  EXPECT_EQ(error_of("{% for x on y %}"), "t:1:10: expected 'in', found 'on'");
  EXPECT_EQ(error_of("{% set 1 = 2 %}"), "t:1:8: expected a name to assign to, found '1'");
  EXPECT_EQ(error_of("{% set true = 2 %}"), "t:1:8: cannot assign to 'true'");
  EXPECT_EQ(error_of("{% break %}"), "t:1:4: 'break' outside of a loop");
  EXPECT_EQ(error_of("{% macro m(a=1, b) %}{% endmacro %}"),
            "t:1:17: a parameter without a default follows one with a default");
  EXPECT_EQ(error_of("{{ f(a=1, 2) }}"), "t:1:11: an argument is out of order");
  EXPECT_EQ(error_of("{% call 1 %}{% endcall %}"), "t:1:9: expected a call of a macro");
  EXPECT_EQ(error_of("{{ x is defined is none }}"), "t:1:17: tests cannot be chained with 'is'");
}

TEST(JinjaParser, RenderingErrorsSayWhere) {
  EXPECT_EQ(error_of("a\n  {{ x.y.z }}", R"({"x": {}})"), "t:2:10: 'dict object' has no attribute 'y'");
  EXPECT_EQ(error_of("{{ nope.x }}"), "t:1:9: 'nope' is undefined");
  EXPECT_EQ(error_of("{{ 1 + 'a' }}"), "t:1:6: unsupported operand types for +: 'int' and 'str'");
  EXPECT_EQ(error_of("{% for x in 5 %}{% endfor %}"), "t:1:4: 'int' object is not iterable");
  EXPECT_EQ(error_of("{% if true %}\n{{ raise_exception('Stop: ' ~ 1) }}{% endif %}"), "t:2:4: Stop: 1");
  EXPECT_EQ(error_of("{{ 'x'.nope() }}"), "t:1:8: 'str object' has no attribute 'nope'");
  EXPECT_EQ(error_of("{{ [].append(1) }}"), "t:1:7: a template may not change a list (append)");
  EXPECT_EQ(error_of("{% set a, b = [1] %}"), "t:1:4: cannot unpack 1 values into 2 names");
  EXPECT_EQ(error_of("{{ 'a' | replace('x') }}"), "t:1:10: replace() is missing its argument 2");
}

TEST(JinjaParser, DeepTemplatesAreRefused) {
  for (const char* opening : {"(", "[", "{1: ", "not ", "-", "x(", "x["}) {
    std::string source = "{{ ";
    for (int i = 0; i < 20'000; ++i) source += opening;
    EXPECT_NE(error_of(source + " }}").find("t:1:"), std::string::npos) << opening;
  }
  for (const char* link :
       {" + 1", ".x", "|upper", " or 1", "[0]", "()", " is none", " ~ (1 ~ 1", " if 1 else 1"}) {
    std::string source = "{{ x";
    for (int i = 0; i < 20'000; ++i) source += link;
    EXPECT_NE(error_of(source + " }}").find("t:1:"), std::string::npos) << link;
  }
  std::string blocks;
  for (int i = 0; i < 20'000; ++i) blocks += "{% if 1 %}";
  EXPECT_NE(error_of(blocks).find("nested more than 80 deep"), std::string::npos);
}

}  // namespace
}  // namespace octet::text
