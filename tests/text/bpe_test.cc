#include "text/bpe.h"

#include <gtest/gtest.h>

#include "small_tokenizer.h"

namespace octet::text {
namespace {

using Words = std::vector<std::string>;

TEST(BpeTest, TheLowestRankJoinsFirst) {
  // "bc" comes before "ab", so "abc" is a + bc.
  const Tokenizer tokenizer = parse(small_document({"a", "b", "c", "ab", "bc", "abc"}, {"b c", "a b"}));
  EXPECT_EQ(tokens_of(tokenizer, "abc"), (Words{"a", "bc"}));
  EXPECT_EQ(tokens_of(tokenizer, "abab"), (Words{"ab", "ab"}));
}

TEST(BpeTest, EqualRanksJoinFromTheLeft) {
  const Tokenizer tokenizer = parse(small_document({"a", "aa", "aaaa"}, {"a a", "aa aa"}));
  EXPECT_EQ(tokens_of(tokenizer, "aaaaaaa"), (Words{"aaaa", "aa", "a"}));
}

TEST(BpeTest, MergesMayBePairs) {
  nlohmann::json document = small_document({"a b", "c", "a bc"});
  document["model"]["merges"] = nlohmann::json::array({{"a b", "c"}});
  EXPECT_EQ(tokens_of(parse(document), "c"), Words{"c"});
  document = small_document({"a", "b", "ab"});
  document["model"]["merges"] = nlohmann::json::array({{"a", "b"}});
  EXPECT_EQ(tokens_of(parse(document), "ab"), Words{"ab"});
}

TEST(BpeTest, AVersionLineIsNoMerge) {
  EXPECT_EQ(tokens_of(parse(small_document({"a", "b", "ab"}, {"#version: 0.2", "a b"})), "ab"), Words{"ab"});
}

// As in the tokenizers package (0.23), which refuses neither.
TEST(BpeTest, OfWhatStandsTwiceTheLastCounts) {
  EXPECT_EQ(tokens_of(parse(small_document({"a", "b", "c", "ab", "bc"}, {"a b", "b c", "a b"})), "abc"),
            (Words{"a", "bc"}));
  std::string text = small_document({"a", "b"}).dump();
  const std::string entry = R"("a":0)";
  text.replace(text.find(entry), entry.size(), R"("a":0,"a":7)");
  EXPECT_EQ(Tokenizer::parse(text, "twice.json").encode("ab"), (std::vector<std::int32_t>{7, 1}));
}

TEST(BpeTest, IgnoreMergesTakesWholeWords) {
  nlohmann::json document = small_document({"a", "b", "c", "abc", "ab"}, {"a b"});
  EXPECT_EQ(tokens_of(parse(document), "abc"), (Words{"ab", "c"}));
  document["model"]["ignore_merges"] = true;
  EXPECT_EQ(tokens_of(parse(document), "abc"), Words{"abc"});
  EXPECT_EQ(tokens_of(parse(document), "abcb"), (Words{"ab", "c", "b"}));
}

TEST(BpeTest, UnknownCharacters) {
  nlohmann::json document = small_document({"a", "?"});
  EXPECT_EQ(tokens_of(parse(document), "xaxxé"), Words{"a"});
  document["model"]["unk_token"] = "?";
  EXPECT_EQ(tokens_of(parse(document), "xaxxé"), (Words{"?", "a", "?", "?", "?"}));
  document["model"]["fuse_unk"] = true;
  EXPECT_EQ(tokens_of(parse(document), "xaxxé"), (Words{"?", "a", "?"}));
  document["model"]["unk_token"] = "<unk>";
  const Tokenizer without = parse(document);
  EXPECT_EQ(tokens_of(without, "aa"), (Words{"a", "a"}));
  EXPECT_THROW(without.encode("x"), Error);
}

TEST(BpeTest, ByteFallbackNeedsAllBytesOfACharacter) {
  nlohmann::json document = small_document({"a", "?", "<0xC3>", "<0xA9>", "<0xE2>"});
  document["model"]["unk_token"] = "?";
  document["model"]["byte_fallback"] = true;
  EXPECT_EQ(tokens_of(parse(document), "aé€"), (Words{"a", "<0xC3>", "<0xA9>", "?"}));
}

TEST(BpeTest, SuffixAndPrefix) {
  nlohmann::json document = small_document({"a", "b</w>", "ab</w>", "a</w>"}, {"a b</w>"});
  document["model"]["end_of_word_suffix"] = "</w>";
  EXPECT_EQ(tokens_of(parse(document), "ab"), Words{"ab</w>"});
  EXPECT_EQ(tokens_of(parse(document), "aa"), (Words{"a", "a</w>"}));
  document = small_document({"a", "##b", "ab"}, {"a ##b"});
  document["model"]["continuing_subword_prefix"] = "##";
  EXPECT_EQ(tokens_of(parse(document), "ab"), Words{"ab"});
}

// Models after SentencePiece take a text as one word, and are encoded part by part where that is the same.
TEST(BpeTest, PartsOfAWordAreJoinedAsTheWholeIs) {
  const std::vector<std::string> tokens = {"▁", "a", "b", "▁▁", "▁a", "ab", "b▁", "b▁a"};
  const auto separate = small_document(tokens, {"▁ ▁", "▁ a", "a b"});
  EXPECT_EQ(tokens_of(parse(separate), "ab▁▁▁a▁b"), (Words{"ab", "▁▁", "▁a", "▁", "b"}));
  // "b▁" joins across where a part would begin.
  const auto across = small_document(tokens, {"b ▁", "b▁ a", "▁ a"});
  EXPECT_EQ(tokens_of(parse(across), "ab▁a▁a"), (Words{"a", "b▁a", "▁a"}));
  auto whole = small_document({"a", "▁", "a▁a"});
  whole["model"]["ignore_merges"] = true;
  EXPECT_EQ(tokens_of(parse(whole), "a▁a"), Words{"a▁a"});
}

TEST(BpeTest, CorruptModelsAreErrors) {
  const auto expect = [](const nlohmann::json& document, const std::string& part) {
    const Error error = parse_error(document);
    EXPECT_EQ(error.code(), ErrorCode::invalid_file) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  };
  nlohmann::json document = small_document({"a", "b"});
  document["model"].erase("vocab");
  expect(document, "small.json: model: \"vocab\" is missing");
  document = small_document({"a", "b"});
  document["model"].erase("merges");
  expect(document, "model: \"merges\" is missing");
  expect(small_document({"a", "b", "ab"}, {"a c"}),
         "model.merges: merge 0: token \"c\" is not in the vocabulary");
  expect(small_document({"a", "b"}, {"a b"}), "token \"ab\" is not in the vocabulary");
  expect(small_document({"a", "b", "ab"}, {"a b", "a  b"}), "merge 1: expected two tokens with one space");
  expect(small_document({"a", "b", "ab"}, {"ab"}), "merge 0");
  document = small_document({"a", "b"});
  document["model"]["vocab"]["c"] = 1;
  expect(document, "have the same id 1");
  for (const nlohmann::json& id : {nlohmann::json(-1), nlohmann::json(1ull << 40), nlohmann::json(~0ull),
                                   nlohmann::json(1.5), nlohmann::json("1"), nlohmann::json(nullptr)}) {
    document["model"]["vocab"]["c"] = id;
    expect(document, "the id of token \"c\" is " + id.dump());
  }
  document = small_document({"a", "b"});
  document["model"]["vocab"] = {"a", "b"};
  expect(document, "model.vocab: expected an object");
  document = small_document({"a", "b"});
  document["model"]["merges"] = nlohmann::json::array({nlohmann::json::array({"a", 1})});
  expect(document, "merge 0: expected \"a b\" or [\"a\", \"b\"]");
  document["model"]["merges"] = "a b";
  expect(document, "model.merges: expected an array");
  document = small_document({"ab", "c", "abc"}, {"ab c"});
  document["model"]["continuing_subword_prefix"] = "##";
  expect(document, "shorter than continuing_subword_prefix");
}

}  // namespace
}  // namespace octet::text
