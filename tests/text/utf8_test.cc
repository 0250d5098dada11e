#include "text/utf8.h"

#include <gtest/gtest.h>

namespace octet::text {
namespace {

TEST(Utf8Test, EveryCodePointComesBack) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    std::size_t position = 0;
    ASSERT_EQ(next_code_point(text, position), c);
    ASSERT_EQ(position, text.size());
    ASSERT_EQ(previous_code_point(text, position), c);
    ASSERT_EQ(position, 0u);
    ASSERT_FALSE(find_invalid_utf8(text));
  }
}

TEST(Utf8Test, FindsTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8(""), std::nullopt);
  EXPECT_EQ(find_invalid_utf8(std::string("a\0b", 3)), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("12345678é\x80"), 10u);
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0u);
  EXPECT_EQ(find_invalid_utf8("a\xE2\x82"), 1u);
  EXPECT_EQ(find_invalid_utf8("\xF5\x80\x80\x80"), 0u);
  EXPECT_EQ(find_invalid_utf8("\xE0\x80\x80"), 0u);
}

std::string lossy(std::string_view bytes) {
  std::string text;
  append_lossy(text, bytes, true);
  return text;
}

// The examples of the Unicode standard, chapter 3.9, "U+FFFD Substitution of Maximal Subparts".
TEST(Utf8Test, LossyDecodingReplacesMaximalSubparts) {
  EXPECT_EQ(lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41\uFFFD\uFFFD\x42");
  EXPECT_EQ(lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFD\x41");
}

TEST(Utf8Test, LossyDecodingInPiecesIsTheSame) {
  const std::string bytes = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xE2\x82\x41\xF0\x9F\xED\xA0\xC3";
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    std::string text;
    std::string pending = bytes.substr(0, cut);
    pending.erase(0, append_lossy(text, pending, false));
    EXPECT_LE(pending.size(), 3u);
    pending += bytes.substr(cut);
    append_lossy(text, pending, true);
    EXPECT_EQ(text, lossy(bytes)) << cut;
  }
}

}  // namespace
}  // namespace octet::text
