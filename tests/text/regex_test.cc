#include "text/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace octet::text {
namespace {

// The matches, in brackets, in the text.
std::string marked(std::string_view pattern, std::string_view text) {
  std::vector<Span> matches;
  Regex::compile(pattern, "test").find_all(text, matches);
  std::string result;
  std::size_t end = 0;
  for (const Span& match : matches) {
    result += text.substr(end, match.begin - end);
    result += '[';
    result += text.substr(match.begin, match.end - match.begin);
    result += ']';
    end = match.end;
  }
  return result + std::string(text.substr(end));
}

Error compile_error(std::string_view pattern) {
  try {
    Regex::compile(pattern, "test");
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error for " << pattern;
  return Error(ErrorCode::internal, "none");
}

TEST(RegexTest, RubyMeaningsDifferFromPerls) {
  EXPECT_EQ(marked(R"(\h+)", "xyz0fF g"), "xyz[0fF] g");
  EXPECT_EQ(marked(R"((?m)a.b)", "a\nb"), "[a\nb]");
  EXPECT_EQ(marked(R"(a.b)", "a\nb"), "a\nb");
  EXPECT_EQ(marked(R"(^.)", "ab\ncd"), "[a]b\n[c]d");
  EXPECT_EQ(marked(R"(\v)", "a\x0B\n"), "a[\x0B]\n");
  EXPECT_EQ(marked(R"(\d{,2})", "123a"), "[12][3]a[]");
  EXPECT_EQ(marked(R"((?:a{2})+)", "aaaaa"), "[aaaa]a");
  EXPECT_EQ(marked(R"(a{2}+)", "aaaaa"), "[aaaa]a");
  EXPECT_EQ(marked(R"(a{2}?b)", "aabb"), "[aab][b]");
  EXPECT_EQ(marked(R"(a{1,2}?)", "aa"), "[a][a]");
  EXPECT_EQ(marked(R"(xa(?i)b|c)", "xaB xaC C"), "[xaB] [xaC] C");
  EXPECT_EQ(marked(R"(a{)", "a{b"), "[a{]b");
  EXPECT_EQ(marked(R"(a?+a)", "aa"), "[aa]");
}

TEST(RegexTest, ClassesAreUnicode) {
  EXPECT_EQ(marked(R"(\s+)", "a\u3000\u00A0\u180Eb"), "a[\u3000\u00A0]\u180Eb");
  EXPECT_EQ(marked(R"(\w+)", "é_1\u0301-½\u203F"), "[é_1\u0301]-[½\u203F]");
  EXPECT_EQ(marked(R"([\w]+)", "é½"), "[é]½");
  EXPECT_EQ(marked(R"(\d)", "a٣²"), "a[٣]²");
  EXPECT_EQ(marked(R"(\p{Han}+)", "漢字。か"), "[漢字]。か");
  EXPECT_EQ(marked(R"(\p{^L}+)", "ab12c"), "ab[12]c");
  EXPECT_EQ(marked(R"(\p{Uppercase_Letter})", "aÉ"), "a[É]");
  EXPECT_EQ(marked(R"([[:punct:]]+)", "a$!€b"), "a[$!€]b");
  EXPECT_EQ(marked(R"([^\S\n]+)", "a \t\nb"), "a[ \t]\nb");
  EXPECT_EQ(marked(R"([\s-x])", "a-x "), "a[-][x][ ]");
  EXPECT_EQ(marked(R"(\b)", "é a"), "[]é[] []a[]");
  // Letters and digits that Unicode 15 and 16 added.
  EXPECT_EQ(marked(R"(\p{L}\p{N})", "\U00031350\U0001E4F0"), "[\U00031350\U0001E4F0]");
}

TEST(RegexTest, CaseFoldingIsUnicodes) { EXPECT_EQ(marked("(?i:'s)", "it'S 'ſ"), "it['S] ['ſ]"); }

TEST(RegexTest, EmptyMatchesDoNotFollowAMatch) {
  EXPECT_EQ(marked("a*", "baac"), "[]b[aa]c[]");
  EXPECT_EQ(marked("", "é1"), "[]é[]1[]");
  EXPECT_EQ(marked("", ""), "[]");
}

TEST(RegexTest, ErrorsSayWhere) {
  const auto expect = [](std::string_view pattern, ErrorCode code, const std::string& part) {
    const Error error = compile_error(pattern);
    EXPECT_EQ(error.code(), code) << pattern;
    EXPECT_EQ(error.context(), "test");
    EXPECT_NE(error.message().find(part), std::string::npos) << pattern << ": " << error.message();
  };
  expect("é(a", ErrorCode::invalid_file, "offset 3");
  expect("a)", ErrorCode::invalid_file, "offset 1");
  expect("é[b", ErrorCode::invalid_file, "offset 2");
  expect("*a", ErrorCode::invalid_file, "offset");
  expect("a\\", ErrorCode::invalid_file, "offset 1");
  expect("[b-a]", ErrorCode::invalid_file, "offset 3");
  expect(R"(\p{Nonsense})", ErrorCode::invalid_file, "unknown property");
  expect(R"(\p{In_Greek})", ErrorCode::unsupported, "offset 0");
  expect(R"(a\p{L)", ErrorCode::invalid_file, "offset 1");
  expect(R"(x[a-z&&[^b]])", ErrorCode::unsupported, "offset 5");
  expect(R"([a[bc]])", ErrorCode::unsupported, "a class inside a class");
  expect(R"((?x)a b)", ErrorCode::unsupported, "(?x");
  expect(R"((*FAIL))", ErrorCode::unsupported, "(*");
  expect(R"(\x{110000})", ErrorCode::invalid_file, "not a Unicode character");
  expect(R"(\xE9)", ErrorCode::unsupported, "\\x7F");
  expect(R"(\g<1>)", ErrorCode::unsupported, "\\g");
  expect(R"((?{1}))", ErrorCode::unsupported, "(?{");
}

TEST(RegexTest, AnExplodingPatternIsAnError) {
  const Regex regex = Regex::compile(R"((a+)+\d)", "test");
  std::vector<Span> matches;
  try {
    regex.find_all(std::string(60, 'a') + "b", matches);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(error.message().find("limit"), std::string::npos) << error.what();
  }
}

TEST(RegexTest, LongTextsNeedNoStack) {
  const Regex regex = Regex::compile(R"((?:ab|c)*d)", "test");
  std::string text;
  for (int k = 0; k < 300'000; ++k) text += "ab";
  text += "d";
  std::vector<Span> matches;
  regex.find_all(text, matches);
  ASSERT_EQ(matches.size(), 1u);
  EXPECT_EQ(matches[0].end, text.size());
}

}  // namespace
}  // namespace octet::text
