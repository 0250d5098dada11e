#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "files/gguf_builder.h"
#include "text/tokenizer.h"

namespace octet::text {
namespace {

using files::GgufType;
using tests::GgufBuilder;
using tests::little_endian;

class GgufTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "octet-gguf-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Tokenizer load(const GgufBuilder& builder) const {
    const std::string path = directory_ + "/model.gguf";
    std::ofstream(path, std::ios::binary) << builder.finish();
    return Tokenizer::load(path);
  }
  void expect_error(const GgufBuilder& builder, ErrorCode code, const std::string& part) const {
    try {
      load(builder);
      ADD_FAILURE() << "no error: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("model.gguf"), std::string::npos) << error.what();
    }
  }

  std::string directory_;
};

GgufBuilder tokens(const std::string& kind) {
  GgufBuilder builder;
  builder.text("tokenizer.ggml.model", kind);
  builder.strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "a", "b", "ab"});
  return builder;
}

std::string types(const std::vector<std::uint32_t>& values) {
  std::string bytes;
  for (const std::uint32_t value : values) bytes += little_endian(value);
  return bytes;
}

GgufBuilder byte_level() {
  GgufBuilder builder = tokens("gpt2");
  builder.strings("tokenizer.ggml.merges", {"a b"});
  builder.array("tokenizer.ggml.token_type", GgufType::int32, 5, types({2, 3, 1, 1, 1}));
  return builder;
}

TEST_F(GgufTokenizerTest, TheMetadataIsTheTokenizer) {
  GgufBuilder builder = byte_level();
  builder.text("tokenizer.ggml.pre", "llama-bpe").number("tokenizer.ggml.bos_token_id", 1);
  builder.number("tokenizer.ggml.eos_token_id", 1).text("tokenizer.chat_template", "{{ messages }}");
  const Tokenizer tokenizer = load(builder);
  EXPECT_EQ(tokenizer.encode("ab<s>ba"), (std::vector<std::int32_t>{1, 4, 1, 3, 2}));  // llama-bpe adds BOS
  EXPECT_EQ(tokenizer.encode("ab", false), (std::vector<std::int32_t>{4}));
  EXPECT_EQ(tokenizer.decode({1, 4, 2}, true), "aba");
  EXPECT_EQ(tokenizer.bos_token(), "<s>");
  EXPECT_EQ(tokenizer.eos_token(), "<s>");
  EXPECT_EQ(tokenizer.chat_template(), "{{ messages }}");
  EXPECT_TRUE(tokenizer.is_special(1));
}

TEST_F(GgufTokenizerTest, Phi3sMarkersTakeTheSpaceBehindThem) {
  GgufBuilder builder;
  builder.text("general.architecture", "phi3").text("tokenizer.ggml.model", "llama");
  builder.strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "<|end|>", "▁", "a"});
  builder.array("tokenizer.ggml.token_type", GgufType::int32, 5, types({2, 3, 3, 1, 1}));
  builder.array("tokenizer.ggml.scores", GgufType::float32, 5, std::string(20, '\0'));
  builder.flag("tokenizer.ggml.add_bos_token", false).flag("tokenizer.ggml.add_space_prefix", false);
  const Tokenizer tokenizer = load(builder);
  EXPECT_EQ(tokenizer.encode("<|end|> \na<s> a"), (std::vector<std::int32_t>{2, 4, 1, 3, 4}));
}

TEST_F(GgufTokenizerTest, ErrorsNameTheKey) {
  expect_error(GgufBuilder().text("a", "b"), ErrorCode::invalid_file, "tokenizer.ggml.model");
  expect_error(tokens("bert"), ErrorCode::unsupported, "\"bert\" is not supported, only llama and gpt2 are");
  expect_error(tokens("llama"), ErrorCode::invalid_file, "tokenizer.ggml.scores");
  expect_error(tokens("llama").array("tokenizer.ggml.scores", GgufType::float32, 1, std::string(4, '\0')),
               ErrorCode::invalid_file, "expected one each for the 5 tokens, found 1");
  expect_error(tokens("gpt2"), ErrorCode::invalid_file, "tokenizer.ggml.merges");
  expect_error(byte_level().text("tokenizer.ggml.pre", "new"), ErrorCode::unsupported,
               "\"new\" is not supported");
  expect_error(byte_level().flag("tokenizer.ggml.add_bos_token", true), ErrorCode::invalid_file,
               "tokenizer.ggml.bos_token_id");
  expect_error(byte_level().number("tokenizer.ggml.eos_token_id", 5), ErrorCode::invalid_file,
               "tokenizer.ggml.eos_token_id");
  expect_error(tokens("gpt2").strings("tokenizer.ggml.merges", {"a c"}), ErrorCode::invalid_file,
               "token \"c\" is not in the vocabulary");
}

}  // namespace
}  // namespace octet::text
