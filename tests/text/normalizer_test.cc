#include "text/normalizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace octet::text {
namespace {

using nlohmann::json;

std::string normalized(const json& description, std::string text) {
  const Normalizer normalizer = Normalizer::parse(JsonField(description, "test"));
  bool at_start = true;
  normalizer.apply(text, at_start);
  return text;
}

json of_type(const std::string& type) { return {{"type", type}}; }

TEST(NormalizerTest, Forms) {
  EXPECT_EQ(normalized(of_type("NFC"), "e\u0301 A\u030A \u2126"), "\u00E9 \u00C5 \u03A9");
  EXPECT_EQ(normalized(of_type("NFD"), "\u00E9\uAC01"), "e\u0301\u1100\u1161\u11A8");
  EXPECT_EQ(normalized(of_type("NFKC"), "\uFB01\u00BD\u00A0x"), "fi1\u20442 x");
  EXPECT_EQ(normalized(of_type("NFKD"), "\uFB01\u00E9"), "fie\u0301");
  EXPECT_EQ(normalized(of_type("NFC"), "plain ASCII"), "plain ASCII");
  EXPECT_EQ(normalized(of_type("NFC"), std::string("a\0e\u0301", 5)), std::string("a\0\u00E9", 4));
}

TEST(NormalizerTest, CaseAndAccents) {
  EXPECT_EQ(normalized(of_type("Lowercase"), "\u00C9A\u0130\u03A3"), "\u00E9ai\u0307\u03C3");
  EXPECT_EQ(normalized({{"type", "Sequence"}, {"normalizers", {of_type("NFD"), of_type("StripAccents")}}},
                       "\u00E9a\u00F1"),
            "ean");
}

TEST(NormalizerTest, Edits) {
  EXPECT_EQ(normalized({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}, "a  b"),
            "a\u2581\u2581b");
  EXPECT_EQ(normalized({{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}}, "a \n b"),
            "a b");
  EXPECT_EQ(normalized({{"type", "Prepend"}, {"prepend", "_"}}, "a"), "_a");
  EXPECT_EQ(normalized({{"type", "Prepend"}, {"prepend", "_"}}, ""), "");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}}, " \u3000a "), "a ");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}}, " a\u2003\n"), " a");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}, " \n"), "");
}

TEST(NormalizerTest, KnowsWhereTheFirstCharacterWent) {
  const auto stays = [](const json& description, std::string text) {
    bool at_start = true;
    Normalizer::parse(JsonField(description, "test")).apply(text, at_start);
    return at_start;
  };
  EXPECT_FALSE(stays({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}, " a"));
  EXPECT_TRUE(stays({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}, "a "));
  EXPECT_TRUE(stays({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "_"}}, " a"));
  EXPECT_FALSE(stays({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", ""}}, " a"));
  EXPECT_FALSE(stays({{"type", "Replace"}, {"pattern", {{"String", "ab"}}}, {"content", "_"}}, "abc"));
}

}  // namespace
}  // namespace octet::text
