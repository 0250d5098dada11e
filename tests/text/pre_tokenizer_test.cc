#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "small_tokenizer.h"

namespace octet::text {
namespace {

using nlohmann::json;

json split(const std::string& kind, const std::string& pattern, const std::string& behavior,
           bool invert = false) {
  return {{"type", "Split"}, {"pattern", {{kind, pattern}}}, {"behavior", behavior}, {"invert", invert}};
}

// The documented example of each behaviour.
TEST(PreTokenizerTest, SplitBehaviors) {
  const std::string text = "the-final--countdown";
  EXPECT_EQ(words_of(split("String", "-", "Removed"), text), "the|final|countdown|");
  EXPECT_EQ(words_of(split("String", "-", "Isolated"), text), "the|-|final|-|-|countdown|");
  EXPECT_EQ(words_of(split("String", "-", "MergedWithPrevious"), text), "the-|final-|-|countdown|");
  EXPECT_EQ(words_of(split("String", "-", "MergedWithNext"), text), "the|-final|-|-countdown|");
  EXPECT_EQ(words_of(split("String", "-", "Contiguous"), text), "the|-|final|--|countdown|");
  EXPECT_EQ(words_of(split("Regex", "[a-z]+", "Removed", true), text), "the|final|countdown|");
  EXPECT_EQ(words_of(split("Regex", "", "Isolated"), "abc"), "a|b|c|");
}

TEST(PreTokenizerTest, Digits) {
  EXPECT_EQ(words_of({{"type", "Digits"}, {"individual_digits", true}}, "a12b3"), "a|1|2|b|3|");
  EXPECT_EQ(words_of({{"type", "Digits"}, {"individual_digits", false}}, "a12b3"), "a|12|b|3|");
}

TEST(PreTokenizerTest, WhitespaceAndPunctuation) {
  EXPECT_EQ(words_of({{"type", "WhitespaceSplit"}}, "  Hi, you!  "), "Hi,|you!|");
  EXPECT_EQ(words_of({{"type", "Whitespace"}}, "  Hi, you!?  x_1"), "Hi|,|you|!?|x_1|");
  EXPECT_EQ(words_of({{"type", "Punctuation"}}, "a!?b"), "a|!|?|b|");
  EXPECT_EQ(words_of({{"type", "Punctuation"}, {"behavior", "Contiguous"}}, "a!?b"), "a|!?|b|");
}

TEST(PreTokenizerTest, Metaspace) {
  json metaspace = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "always"}, {"split", true}};
  EXPECT_EQ(words_of(metaspace, "a  b"), "_a|_|_b|");
  EXPECT_EQ(words_of(metaspace, " a"), "_a|");
  metaspace["split"] = false;
  EXPECT_EQ(words_of(metaspace, "a b"), "_a_b|");
  metaspace["prepend_scheme"] = "never";
  EXPECT_EQ(words_of(metaspace, "a b"), "a_b|");
  metaspace["prepend_scheme"] = "first";
  const json sequence = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "WhitespaceSplit"}}, metaspace}}};
  EXPECT_EQ(words_of(sequence, "a b"), "_a|b|");
  EXPECT_EQ(words_of(sequence, " a b"), "a|b|");
  EXPECT_EQ(words_of({{"type", "Metaspace"}, {"replacement", "_"}, {"add_prefix_space", false}}, "a b"),
            "a|_b|");
}

TEST(PreTokenizerTest, ByteLevel) {
  json document = small_document({"Ġ", "a", "Ã", "©", "'", "s", "Ċ"});
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  EXPECT_EQ(tokens_of(parse(document), "a é\n"), (std::vector<std::string>{"Ġ", "a", "Ġ", "Ã", "©", "Ċ"}));
  EXPECT_EQ(words_of({{"type", "ByteLevel"}, {"add_prefix_space", false}}, "it's.12"), "it|'s|.|12|");
  EXPECT_EQ(words_of({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}, "it's.12"),
            "it's.12|");
}

TEST(PreTokenizerTest, CorruptOnesAreErrors) {
  const auto expect = [](const json& pre_tokenizer, ErrorCode code, const std::string& part) {
    json document = ascii_document();
    document["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", json::array({pre_tokenizer})}};
    const Error error = parse_error(document);
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find("small.json: pre_tokenizer.pretokenizers[0]"), std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  };
  expect(split("Regex", "ab(c", "Isolated"), ErrorCode::invalid_file, "at character offset 4");
  expect(split("Regex", "é[z-a]", "Isolated"), ErrorCode::invalid_file, "character offset 4");
  expect(split("Regex", "[a-z&&[^b]]", "Isolated"), ErrorCode::unsupported, "offset 4: the class intersection");
  expect(split("Regex", "a", "Joined"), ErrorCode::invalid_file, "behavior: expected Removed, Isolated");
  expect(split("Glob", "a", "Isolated"), ErrorCode::invalid_file, "pattern: expected {\"String\"");
  expect({{"type", "Metaspace"}, {"replacement", "ab"}}, ErrorCode::invalid_file, "one character");
  expect({{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}}, ErrorCode::invalid_file,
         "always");
  expect(
      {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}, {"add_prefix_space", false}},
      ErrorCode::invalid_file, "add_prefix_space");
  expect({{"type", "ByteLevel"}}, ErrorCode::invalid_file, "\"add_prefix_space\" is missing");
  expect({{"type", "FixedLength"}, {"length", 5}}, ErrorCode::unsupported, "FixedLength");
}

}  // namespace
}  // namespace octet::text
