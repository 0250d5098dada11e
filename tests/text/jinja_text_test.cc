#include "text/jinja_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace octet::text::jinja {
namespace {

using Parts = std::vector<std::string_view>;

TEST(JinjaText, CountsCodePoints) {
  EXPECT_EQ(length("aé🙂"), 3U);
  EXPECT_EQ(offset_of("aé🙂b", 2), 3U);
  EXPECT_EQ(offset_of("aé", 9), 3U);
  EXPECT_EQ(characters("é🙂"), (Parts{"é", "🙂"}));
  EXPECT_EQ(find_invalid_utf8("aé🙂"), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("a\xC3"), 1U);
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0U);  // a surrogate
}

TEST(JinjaText, CaseMappingsAreUnicodes) {
  EXPECT_EQ(to_upper("straße ŉ ﬁ ᾳ"), "STRASSE ʼN FI ΑΙ");
  EXPECT_EQ(to_lower("ÀÉ ΟΔΥΣΣΕΥΣ Σ ΑΣ."), "àé οδυσσευς σ ας.");
  EXPECT_EQ(to_lower("İ"), "i\xCC\x87");
  EXPECT_EQ(capitalize("ǆABC"), "ǅabc");
  EXPECT_EQ(to_title("it's ﬁne x1y"), "It'S Fine X1Y");
  EXPECT_TRUE(has_case("ABC 1", true));
  EXPECT_FALSE(has_case("123", true));
  EXPECT_FALSE(has_case("Ab", false));
}

TEST(JinjaText, StripsAndSplits) {
  EXPECT_EQ(strip("\xC2\xA0\t x \n", Side::both), "x");
  EXPECT_EQ(strip("ééxé", Side::left, "é"), "xé");
  EXPECT_EQ(strip("xyx", Side::both, "xy"), "");
  EXPECT_EQ(split(" a  b c ", std::nullopt, 1), (Parts{"a", "b c "}));
  EXPECT_EQ(split_right(" a  b c ", std::nullopt, 1), (Parts{" a  b", "c"}));
  EXPECT_EQ(split(",a,,b", ","), (Parts{"", "a", "", "b"}));
  EXPECT_EQ(split_right("a,b,c", ",", 1), (Parts{"a,b", "c"}));
  EXPECT_EQ(split("", std::nullopt), Parts{});
  EXPECT_EQ(split("", ","), Parts{""});
  EXPECT_EQ(split_lines("a\r\nb\n\nc\xE2\x80\xA8"), (Parts{"a", "b", "", "c"}));
  EXPECT_EQ(split_lines("a\r\nb", true), (Parts{"a\r\n", "b"}));
}

TEST(JinjaText, ClassesAreUnicodes) {
  EXPECT_TRUE(is_digit(U'²'));
  EXPECT_FALSE(is_decimal(U'²'));
  EXPECT_TRUE(is_alpha(U'語'));
  EXPECT_TRUE(is_word(U'_'));
  EXPECT_FALSE(is_printable(0x200B));
  EXPECT_FALSE(is_printable(0xA0));
  EXPECT_TRUE(is_printable(0x301));
}

}  // namespace
}  // namespace octet::text::jinja
