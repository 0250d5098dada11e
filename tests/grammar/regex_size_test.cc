#include "grammar/regex_size.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace octet::grammar {
namespace {

TEST(RegexSize, CountsCharactersWithRepetitionsWrittenOut) {
  EXPECT_EQ(regex_size("", "regex"), 0);
  EXPECT_EQ(regex_size("abc", "regex"), 3);
  EXPECT_EQ(regex_size("[a-z]{3}b", "regex"), 4);
  EXPECT_EQ(regex_size("[]{5}]{2}", "regex"), 2);
  EXPECT_EQ(regex_size(R"([\]]{2}\d{2,5})", "regex"), 7);
  EXPECT_EQ(regex_size("(a|bc){2,}", "regex"), 9);
  EXPECT_EQ(regex_size("^a?b*c+$", "regex"), 3);
  EXPECT_EQ(regex_size("((a{10}){10}){10}", "regex"), 1000);
}

TEST(RegexSize, DoesNotOverflow) {
  EXPECT_GT(regex_size("((((a{99999}){99999}){99999}){99999}){99999}", "regex"), kMostRegexSize);
  EXPECT_GT(regex_size("a{99999999999999999999}", "regex"), kMostRegexSize);
  EXPECT_GT(regex_size("a{1,99999999999999999999}", "regex"), kMostRegexSize);
}

TEST(RegexSize, RefusesWhatItCannotCount) {
  for (const std::string& regex :
       {std::string(100, '(') + "a" + std::string(100, ')'), std::string("a)b"), std::string("a{5,2}")})
    EXPECT_THROW(regex_size(regex, "regex"), Error) << regex;
}

}  // namespace
}  // namespace octet::grammar
