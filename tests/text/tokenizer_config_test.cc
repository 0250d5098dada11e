#include "text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace octet::text {
namespace {

class TokenizerConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "octet-config-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ + "/" + name) << text;
  }

  std::string directory_;
};

TEST_F(TokenizerConfigTest, WithoutFilesAllIsEmpty) {
  const TokenizerConfig config = TokenizerConfig::load(directory_);
  EXPECT_EQ(config.bos_token + config.eos_token + config.chat_template + config.chat_template_file, "");
}

TEST_F(TokenizerConfigTest, TokensAreStringsOrObjects) {
  write("tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null,
            "unk_token": "<unk>", "chat_template": "{{ messages }}"})");
  const TokenizerConfig config = TokenizerConfig::load(directory_);
  EXPECT_EQ(config.bos_token, "<s>");
  EXPECT_EQ(config.eos_token, "</s>");
  EXPECT_EQ(config.pad_token, "");
  EXPECT_EQ(config.unk_token, "<unk>");
  EXPECT_EQ(config.chat_template, "{{ messages }}");
  EXPECT_EQ(config.chat_template_file, directory_ + "/tokenizer_config.json");
}

TEST_F(TokenizerConfigTest, TheTemplateFileWins) {
  write("tokenizer_config.json", R"({"chat_template": "old"})");
  write("chat_template.jinja", "new\n");
  const TokenizerConfig config = TokenizerConfig::load(directory_);
  EXPECT_EQ(config.chat_template, "new\n");
  EXPECT_EQ(config.chat_template_file, directory_ + "/chat_template.jinja");
}

TEST_F(TokenizerConfigTest, NamedTemplates) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(TokenizerConfig::load(directory_).chat_template, "d");
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "r"}]})");
  EXPECT_THROW(TokenizerConfig::load(directory_), Error);
}

TEST_F(TokenizerConfigTest, WrongFilesAreErrorsThatNameThem) {
  for (const std::string text :
       {"", "[]", "{\"bos_token\": 3}", "{\"eos_token\": {}}", "{\"chat_template\": true}"}) {
    write("tokenizer_config.json", text);
    try {
      TokenizerConfig::load(directory_);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_file) << error.what();
      EXPECT_NE(error.context().find("tokenizer_config.json"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace octet::text
