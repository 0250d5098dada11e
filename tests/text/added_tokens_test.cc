#include "text/added_tokens.h"

#include <gtest/gtest.h>

#include "small_tokenizer.h"

namespace octet::text {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

json with_tokens(const std::vector<json>& tokens) {
  json document = ascii_document();
  document["added_tokens"] = tokens;
  return document;
}

json token(int id, const std::string& content, const std::string& option = {}) {
  json result = added_token(id, content);
  if (!option.empty()) result[option] = true;
  return result;
}

TEST(AddedTokensTest, TheLongestWins) {
  const Tokenizer tokenizer = parse(with_tokens({token(95, "<s"), token(96, "<s>"), token(97, "s>x")}));
  EXPECT_EQ(tokens_of(tokenizer, "<s>x<s"), (Words{"<s>", "x", "<s"}));
}

TEST(AddedTokensTest, StrippingTakesWhiteSpace) {
  EXPECT_EQ(tokens_of(parse(with_tokens({token(95, "<m>", "lstrip")})), "a \n<m> b"),
            (Words{"a", "<m>", " ", "b"}));
  EXPECT_EQ(tokens_of(parse(with_tokens({token(95, "<m>", "rstrip")})), "a <m> \u3000b"),
            (Words{"a", " ", "<m>", "b"}));
}

TEST(AddedTokensTest, ASingleWordStandsAlone) {
  const Tokenizer tokenizer = parse(with_tokens({token(95, "at", "single_word")}));
  EXPECT_EQ(tokens_of(tokenizer, "at cat at. ate"),
            (Words{"at", " ", "c", "a", "t", " ", "at", ".", " ", "a", "t", "e"}));
}

TEST(AddedTokensTest, NormalizedTokensAreFoundInNormalizedText) {
  json document = with_tokens({token(95, "YES", "normalized"), token(96, "NO")});
  document["normalizer"] = {{"type", "Lowercase"}};
  EXPECT_EQ(tokens_of(parse(document), "Yes YES No NO"), (Words{"YES", " ", "YES", " ", "n", "o", " ", "NO"}));
}

TEST(AddedTokensTest, NormalizersSeeEachStretchByItself) {
  json document = with_tokens({token(95, "<s>")});
  document["normalizer"] = {{"type", "Prepend"}, {"prepend", "_"}};
  EXPECT_EQ(tokens_of(parse(document), "<s>a<s>b"), (Words{"<s>", "_", "a", "<s>", "_", "b"}));
}

TEST(AddedTokensTest, ContradictionsAreErrors) {
  const auto expect = [](const json& document, const std::string& part) {
    const Error error = parse_error(document);
    EXPECT_EQ(error.code(), ErrorCode::invalid_file) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  };
  EXPECT_NO_THROW(parse(with_tokens({token('a' - ' ', "a")})));
  expect(with_tokens({token(95, "a")}), "added_tokens[0]: token \"a\" has id 95 here and 65 in the vocabulary");
  expect(with_tokens({token(3, "<s>")}), "has id 3, which is the vocabulary's for \"#\"");
  expect(with_tokens({token(95, "<s>"), token(95, "</s>")}), "added_tokens[1]: tokens \"<s>\" and \"</s>\"");
  expect(with_tokens({token(95, "<s>"), token(96, "<s>")}), "listed twice");
  expect(with_tokens({token(95, "")}), "the content is empty");
  expect(with_tokens({token(-1, "<s>")}), "added_tokens[0].id: expected an integer from 0");
  json huge = token(95, "<s>");
  huge["id"] = 1ull << 60;
  expect(with_tokens({huge}), "added_tokens[0].id: expected an integer from 0");
  json incomplete = token(95, "<s>");
  incomplete.erase("special");
  expect(with_tokens({incomplete}), "added_tokens[0]: \"special\" is missing");
  json clash = with_tokens({token(95, "YES", "normalized"), token(96, "yes", "normalized")});
  clash["normalizer"] = {{"type", "Lowercase"}};
  expect(clash, "looks like another one");
  json document = ascii_document();
  document["added_tokens"] = 3;
  expect(document, "added_tokens: expected an array, found 3");
}

}  // namespace
}  // namespace octet::text
