#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include "small_tokenizer.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;
using Pieces = std::vector<std::string>;

json with_decoder(const std::vector<std::string>& tokens, const json& decoder) {
  json document = small_document(tokens);
  document["decoder"] = decoder;
  return document;
}

// What add() returns for each id, and finish() after them; together they must be decode()'s text.
Pieces pieces_of(const json& document, const Ids& ids) {
  const Tokenizer tokenizer = parse(document);
  Detokenizer detokenizer(tokenizer, false);
  Pieces pieces;
  std::string all;
  for (const std::int32_t id : ids) pieces.push_back(detokenizer.add(id));
  pieces.push_back(detokenizer.finish());
  for (const std::string& piece : pieces) {
    EXPECT_FALSE(find_invalid_utf8(piece));
    all += piece;
  }
  EXPECT_EQ(all, tokenizer.decode(ids, false));
  return pieces;
}

const json kByteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}};

TEST(DetokenizerTest, ByteLevelWaitsForWholeCharacters) {
  // é is C3 A9, 😀 is F0 9F 98 80, in the byte-level alphabet.
  const json document = with_decoder({"Ġa", "Ã", "©", "ðŁ", "ĺĢ"}, kByteLevel);
  EXPECT_EQ(pieces_of(document, {0, 1, 2, 0}), (Pieces{" a", "", "é", " a", ""}));
  EXPECT_EQ(pieces_of(document, {3, 4, 3}), (Pieces{"", "😀", "", "\uFFFD"}));
  EXPECT_EQ(pieces_of(document, {1, 0}), (Pieces{"", "\uFFFD a", ""}));
  EXPECT_EQ(pieces_of(document, {2, 2}), (Pieces{"\uFFFD", "\uFFFD", ""}));
  EXPECT_EQ(pieces_of(document, {3, 3, 4}), (Pieces{"", "\uFFFD", "😀", ""}));
}

TEST(DetokenizerTest, TokensOutsideTheByteAlphabetAreText) {
  EXPECT_EQ(pieces_of(with_decoder({"a b", "日"}, kByteLevel), {0, 1}), (Pieces{"a b", "日", ""}));
}

const json kLlama2 = {{"type", "Sequence"},
                      {"decoders",
                       {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                        {{"type", "ByteFallback"}},
                        {{"type", "Fuse"}},
                        {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};

TEST(DetokenizerTest, Llama2DropsOneFirstSpace) {
  const json document = with_decoder({"▁", "▁Hi", "<0xC3>", "<0xA9>"}, kLlama2);
  EXPECT_EQ(pieces_of(document, {1, 1}), (Pieces{"Hi", " Hi", ""}));
  EXPECT_EQ(pieces_of(document, {0, 1}), (Pieces{"", " Hi", ""}));
}

TEST(DetokenizerTest, ByteFallbackJudgesAWholeRun) {
  const json document = with_decoder({"a", "▁", "<0xC3>", "<0xA9>"}, kLlama2);
  EXPECT_EQ(pieces_of(document, {2, 3, 0}), (Pieces{"", "", "éa", ""}));
  EXPECT_EQ(pieces_of(document, {0, 2, 3, 2}), (Pieces{"a", "", "", "", "\uFFFD\uFFFD\uFFFD"}));
  EXPECT_EQ(pieces_of(document, {2, 3}), (Pieces{"", "", "é"}));
}

TEST(DetokenizerTest, MetaspaceDropsTheFirstTokensSpaces) {
  const json always = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  EXPECT_EQ(pieces_of(with_decoder({"▁▁a▁"}, always), {0, 0}), (Pieces{"a", "  a ", ""}));
  const json never = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "never"}};
  EXPECT_EQ(pieces_of(with_decoder({"▁a"}, never), {0, 0}), (Pieces{" a", " a", ""}));
}

TEST(DetokenizerTest, StripKeepsBackWhatMayGo) {
  const json decoder = {
      {"type", "Sequence"},
      {"decoders", {{{"type", "Fuse"}}, {{"type", "Strip"}, {"content", "é"}, {"start", 2}, {"stop", 1}}}}};
  const json document = with_decoder({"é", "a"}, decoder);
  EXPECT_EQ(pieces_of(document, {0, 0, 0, 1}), (Pieces{"", "", "", "éa", ""}));
  EXPECT_EQ(pieces_of(document, {1, 0, 0}), (Pieces{"a", "", "é", ""}));
  EXPECT_EQ(pieces_of(document, {0, 1, 0, 1}), (Pieces{"", "a", "", "éa", ""}));
}

TEST(DetokenizerTest, StripWithoutFuseStripsEveryToken) {
  const json decoder = {{"type", "Strip"}, {"content", "-"}, {"start", 1}, {"stop", 1}};
  EXPECT_EQ(pieces_of(with_decoder({"--a--", "-"}, decoder), {0, 1, 0}), (Pieces{"-a-", "", "-a-", ""}));
}

TEST(DetokenizerTest, WordEndsBecomeSpaces) {
  const json decoder = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  EXPECT_EQ(pieces_of(with_decoder({"a", "b</w>"}, decoder), {0, 1, 1}), (Pieces{"", "a", "b ", "b"}));
}

TEST(DetokenizerTest, WithoutADecoder) {
  EXPECT_EQ(pieces_of(small_document({"a", "b"}), {0, 1, 0}), (Pieces{"a", " b", " a", ""}));
}

TEST(DetokenizerTest, NothingIsNothing) {
  for (const json& decoder : {kByteLevel, kLlama2, json(nullptr)}) {
    EXPECT_EQ(pieces_of(with_decoder({"a"}, decoder), {}), Pieces{""});
  }
}

TEST(DetokenizerTest, TokenBytes) {
  const Tokenizer byte_level = parse(with_decoder({"Ġa", "Ã"}, kByteLevel));
  EXPECT_EQ(byte_level.token_bytes(0), " a");
  EXPECT_EQ(byte_level.token_bytes(1), "\xC3");
  const Tokenizer llama2 = parse(with_decoder({"▁a", "<0xC3>", "<0xZZ>"}, kLlama2));
  EXPECT_EQ(llama2.token_bytes(0), " a");
  EXPECT_EQ(llama2.token_bytes(1), "\xC3");
  EXPECT_EQ(llama2.token_bytes(2), "<0xZZ>");
}

TEST(DetokenizerTest, AnUnknownIdIsAnError) {
  Detokenizer detokenizer(parse(small_document({"a"})), true);
  EXPECT_THROW(detokenizer.add(1), Error);
  EXPECT_EQ(detokenizer.add(0), "a");
}

}  // namespace
}  // namespace octet::text
