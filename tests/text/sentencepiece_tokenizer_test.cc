#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace octet::text {
namespace {

std::string proto_number(unsigned field, unsigned value) {
  return {static_cast<char>(field << 3), static_cast<char>(value)};
}

std::string proto_message(unsigned field, const std::string& body) {
  std::string head(1, static_cast<char>(field << 3 | 2));
  std::size_t size = body.size();
  for (; size >= 0x80; size >>= 7) head += static_cast<char>((size & 0x7F) | 0x80);
  return head + static_cast<char>(size) + body;
}

// A BPE model of <unk>, <s>, </s>, ▁, a and ▁a that removes extra spaces. `normalizer` are further fields.
std::string small_model(const std::string& normalizer = "") {
  const std::vector<std::pair<std::string, unsigned>> pieces = {{"<unk>", 2}, {"<s>", 3}, {"</s>", 3},
                                                                {"▁", 1},     {"a", 1},   {"▁a", 1}};
  std::string bytes;
  for (const auto& [token, type] : pieces) {
    bytes += proto_message(1, proto_message(1, token) + proto_number(3, type));
  }
  return bytes + proto_message(2, proto_number(3, 2)) + proto_message(3, normalizer);
}

class SentencePieceTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "octet-pieces-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Tokenizer load(const std::string& config, const std::string& model = small_model()) const {
    std::ofstream(directory_ + "/tokenizer.model", std::ios::binary) << model;
    std::ofstream(directory_ + "/tokenizer_config.json") << config;
    return Tokenizer::load(directory_);
  }
  Error error_of(const std::string& config, const std::string& model = small_model()) const {
    try {
      load(config, model);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::internal, "none");
  }

  std::string directory_;
};

using Ids = std::vector<std::int32_t>;

TEST_F(SentencePieceTokenizerTest, ExtraSpacesGoAndTheFirstSpaceIsAdded) {
  for (const std::string config : {"{}", R"({"legacy": true})"}) {
    for (const std::string text : {"a a", "  a   a  ", " a a"}) {
      EXPECT_EQ(load(config).encode(text), (Ids{1, 5, 5})) << config << " \"" << text << '"';
    }
    EXPECT_EQ(load(config).encode("   "), (Ids{1})) << config;
    EXPECT_EQ(load(config).encode("a \n a"), (Ids{1, 5, 3, 0, 5})) << config;  // those of a line stay
  }
  EXPECT_EQ(load(R"({"add_prefix_space": false})").encode(" a a"), (Ids{1, 4, 5}));
}

TEST_F(SentencePieceTokenizerTest, LegacyPutsTheSpaceBehindAddedTokensToo) {
  EXPECT_EQ(load("{}").encode("a</s>a"), (Ids{1, 5, 2, 4}));
  EXPECT_EQ(load(R"({"legacy": true})").encode("a</s>a"), (Ids{1, 5, 2, 5}));
}

TEST_F(SentencePieceTokenizerTest, TheConfigNamesTokens) {
  const Tokenizer tokenizer = load(R"({"add_bos_token": false, "add_eos_token": true, "eos_token": "<end>",
      "added_tokens_decoder": {"6": {"content": "<end>", "lstrip": false, "rstrip": false, "normalized": false,
                                     "single_word": false, "special": true}}})");
  EXPECT_EQ(tokenizer.encode("a<end>"), (Ids{5, 6, 6}));
  EXPECT_EQ(tokenizer.decode({5, 4, 6}, true), "aa");
  EXPECT_EQ(tokenizer.bos_token(), "<s>");
  EXPECT_EQ(tokenizer.unk_token(), "<unk>");
}

// Looking up every cut of such a piece would take minutes.
TEST_F(SentencePieceTokenizerTest, APieceOfMegabytesIsRead) {
  const std::string piece(std::size_t{4} << 20, 'a');
  EXPECT_EQ(load("{}", small_model() + proto_message(1, proto_message(1, piece))).encode("a a"),
            (Ids{1, 5, 5}));
}

TEST_F(SentencePieceTokenizerTest, ErrorsNameFileAndField) {
  const Error charsmap = error_of("{}", small_model(proto_message(2, "x")));
  EXPECT_EQ(charsmap.code(), ErrorCode::unsupported);
  EXPECT_NE(std::string(charsmap.what()).find("tokenizer.model: a precompiled_charsmap"), std::string::npos);
  const Error unescaped = error_of("{}", small_model(proto_number(5, 0)));
  EXPECT_NE(unescaped.message().find("escape_whitespaces"), std::string::npos) << unescaped.what();
  const Error eos = error_of(R"({"add_eos_token": true, "eos_token": "<end>"})");
  EXPECT_EQ(eos.code(), ErrorCode::invalid_file);
  EXPECT_NE(eos.message().find("\"<end>\", which add_eos_token wants, is no token"), std::string::npos);
  const Error id = error_of(R"({"added_tokens_decoder": {"six": {}}})");
  EXPECT_NE(id.message().find("\"six\" is no token id"), std::string::npos) << id.what();
}

}  // namespace
}  // namespace octet::text
