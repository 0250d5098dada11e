#include "text/jinja_lexer.h"

#include <gtest/gtest.h>

#include "rendered.h"

namespace octet::text {
namespace {

TEST(JinjaLexer, BlocksTakeTheirLine) {
  EXPECT_EQ(rendered("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(rendered("a {% if true %} b {% endif %} c"), "a  b  c");
  EXPECT_EQ(rendered("\t{# note #}\nx"), "x");
  EXPECT_EQ(rendered("  {{ 1 }}\n  x"), "  1\n  x");
}

TEST(JinjaLexer, SignsControlWhiteSpace) {
  EXPECT_EQ(rendered("a \n {%- if true -%} \n b \n {%- endif -%} \n c"), "abc");
  EXPECT_EQ(rendered("a \n {{- 1 -}} \n b"), "a1b");
  EXPECT_EQ(rendered("a\n  {%+ if true +%}\nb{% endif %}"), "a\n  \nb");
  EXPECT_EQ(rendered("a {#- note -#} b"), "ab");
  EXPECT_EQ(rendered("a\xC2\xA0{{- 1 }}"), "a1");  // a no-break space is white space, as in Python
}

TEST(JinjaLexer, LineEndsAreOne) {
  EXPECT_EQ(rendered("a\r\nb\rc\n\n"), "a\nb\nc\n");
  EXPECT_EQ(rendered("{% if true %}\r\nx{% endif %}\r\n"), "x");
}

TEST(JinjaLexer, RawTextStaysAsItIs) {
  EXPECT_EQ(rendered("{% raw %}{{ x }}{% y %}{# z #}{% endraw %}"), "{{ x }}{% y %}{# z #}");
  EXPECT_EQ(rendered("a {%- raw -%} {{ {%- endraw %} b"), "a{{ b");
}

TEST(JinjaLexer, BracesInsideExpressions) {
  EXPECT_EQ(rendered("{{ {'a': {'b': 1}} }}"), "{'a': {'b': 1}}");
  EXPECT_EQ(rendered("{{ '}}' }}{{ \"%}\" }}"), "}}%}");
}

TEST(JinjaLexer, Literals) {
  EXPECT_EQ(rendered("{{ 1_000 }} {{ 0xff }} {{ 0b11 }} {{ 0o17 }} {{ 1.5e2 }} {{ 2e3 }}"),
            "1000 255 3 15 150.0 2000.0");
  EXPECT_EQ(rendered(R"({{ '\n\x41\u00e9\U0001f642\101\q' "joined" }})"), "\nAé🙂A\\qjoined");
  EXPECT_EQ(rendered("{{ größe }}", R"({"größe": 1})"), "1");
}

TEST(JinjaLexer, ErrorsSayWhere) {
  EXPECT_EQ(error_of("a\n{{ 'x"), "t:2:4: a string is never closed");
  EXPECT_EQ(error_of("é {{ x"), "t:1:3: this {{ is never closed with }}");
  EXPECT_EQ(error_of("{% if"), "t:1:1: this {% is never closed with %}");
  EXPECT_EQ(error_of("\n\n{# x"), "t:3:1: a comment is never closed");
  EXPECT_EQ(error_of("{% raw %} {% endfor %}"), "t:1:1: {% raw %} is never closed");
  EXPECT_EQ(error_of("{{ a ? b }}"), "t:1:6: unexpected character '?'");
  EXPECT_EQ(error_of("{{ (1] }}"), "t:1:6: unexpected ']', expected ')'");
  EXPECT_EQ(error_of("{{ 1) }}"), "t:1:5: unexpected ')'");
  EXPECT_EQ(error_of("{{ '\\u12' }}"), "t:1:5: \\u needs 4 hexadecimal digits");
  EXPECT_EQ(error_of("{{ '\\ud800' }}"), "t:1:5: an escape names no Unicode character");
  EXPECT_EQ(error_of("ok\nö\xff"), "t:2:2: invalid UTF-8 at byte 5");
}

}  // namespace
}  // namespace octet::text
