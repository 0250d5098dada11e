#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "small_tokenizer.h"
#include "text/detokenizer.h"

namespace octet::text {
namespace {

using Ids = std::vector<std::int32_t>;
using Words = std::vector<std::string>;

std::string model_directory() {
  const char* directory = std::getenv("OCTET_TEST_MODEL");
  return directory != nullptr ? directory : OCTET_SOURCE_DIR "/models/smollm2-135m-instruct";
}

// SmolLM2's tokenizer; its tests are skipped where there is none.
class SmolLM2 : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(model_directory() + "/tokenizer.json")) {
      GTEST_SKIP() << model_directory() << " has no tokenizer.json; scripts/get-model makes it";
    }
    tokenizer_.emplace(Tokenizer::load(model_directory()));
  }
  std::optional<Tokenizer> tokenizer_;
};

TEST_F(SmolLM2, EveryGoldenCase) {
  std::ifstream file(OCTET_SOURCE_DIR "/tests/golden/tokenizer.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  ASSERT_GT(golden["cases"].size(), 20u);
  for (const auto& example : golden["cases"]) {
    const auto text = example["text"].get<std::string>();
    const auto ids = example["ids"].get<Ids>();
    EXPECT_EQ(tokenizer_->encode(text), ids) << text;
    EXPECT_EQ(tokenizer_->decode(ids, false), example["decoded"]) << text;
    EXPECT_EQ(tokenizer_->decode(ids, true), example["decoded_skip_special"]) << text;
    Detokenizer detokenizer(*tokenizer_, true);
    std::string streamed;
    for (const std::int32_t id : ids) streamed += detokenizer.add(id);
    EXPECT_EQ(streamed + detokenizer.finish(), example["decoded_skip_special"]) << text;
  }
}

TEST_F(SmolLM2, KnowsItsVocabulary) {
  EXPECT_EQ(tokenizer_->vocab_size(), 49152);
  EXPECT_EQ(tokenizer_->token_to_id("<|im_end|>"), 2);
  EXPECT_EQ(tokenizer_->id_to_token(2), "<|im_end|>");
  EXPECT_TRUE(tokenizer_->is_special(2));
  EXPECT_FALSE(tokenizer_->is_special(905));
  EXPECT_EQ(tokenizer_->token_bytes(905), " world");
  EXPECT_EQ(tokenizer_->token_bytes(198), "\n");
  EXPECT_EQ(tokenizer_->token_bytes(49152), "");
  EXPECT_EQ(tokenizer_->bos_token(), "<|im_start|>");
  EXPECT_EQ(tokenizer_->eos_token(), "<|im_end|>");
  EXPECT_NE(tokenizer_->chat_template().find("add_generation_prompt"), std::string::npos);
}

// Joining pairs must not be quadratic: one word of a million characters.
TEST_F(SmolLM2, AVeryLongWordTakesSeconds) {
  const std::string text(1'000'000, 'a');
  const auto begin = std::clock();
  const Ids ids = tokenizer_->encode(text);
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 20.0);
  EXPECT_EQ(tokenizer_->decode(ids, false), text);
}

TEST_F(SmolLM2, ThreadsMayEncodeTogether) {
  const std::string text = "Two threads, one tokenizer: neither waits, both are right. ";
  const Ids expected = tokenizer_->encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t k = 0; k < wrong.size(); ++k) {
    threads.emplace_back([&, k] {
      for (int round = 0; round < 50; ++round) wrong[k] += tokenizer_->encode(text) != expected ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(TokenizerTest, InvalidUtf8IsAnErrorWithItsOffset) {
  const Tokenizer tokenizer = parse(ascii_document());
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"abc\xFF", "byte 3"},         {"\xC3", "byte 0"},         {"a\xE2\x82", "byte 1"},
      {"ok\xED\xA0\x80", "byte 2"},  {"12345678\x80", "byte 8"}, {"\xC0\xAF", "byte 0"},
      {"\xF4\x90\x80\x80", "byte 0"}};
  for (const auto& [text, place] : cases) {
    try {
      tokenizer.encode(text);
      ADD_FAILURE() << place;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_NE(error.message().find(place), std::string::npos) << error.what();
    }
  }
}

TEST(TokenizerTest, AnUnknownIdIsAnError) {
  const Tokenizer tokenizer = parse(ascii_document());
  EXPECT_EQ(tokenizer.vocab_size(), 95);
  for (const std::int32_t id : {-1, 95, 1 << 30}) {
    EXPECT_THROW(tokenizer.decode({0, id}, false), Error);
    EXPECT_EQ(tokenizer.token_bytes(id), "");
    EXPECT_EQ(tokenizer.id_to_token(id), "");
    EXPECT_FALSE(tokenizer.is_special(id));
  }
}

TEST(TokenizerTest, WithoutADecoderTokensAreJoinedBySpaces) {
  const Tokenizer tokenizer = parse(small_document({"a", "b", "ab"}, {"a b"}));
  EXPECT_EQ(tokenizer.encode("abba"), (Ids{2, 1, 0}));
  EXPECT_EQ(tokenizer.decode({2, 1, 0}, false), "ab b a");
}

TEST(TokenizerTest, SpecialTokensAreLeftOutOnRequest) {
  nlohmann::json document = ascii_document();
  document["added_tokens"] = {added_token(95, "<s>"), added_token(96, "<tool>", false)};
  document["decoder"] = {{"type", "Fuse"}};
  const Tokenizer tokenizer = parse(document);
  EXPECT_EQ(tokenizer.vocab_size(), 97);
  const Ids ids = tokenizer.encode("a<s>b<tool>");
  EXPECT_EQ(ids, (Ids{'a' - ' ', 95, 'b' - ' ', 96}));
  EXPECT_EQ(tokenizer.decode(ids, false), "a<s>b<tool>");
  EXPECT_EQ(tokenizer.decode(ids, true), "ab<tool>");
  EXPECT_EQ(tokenizer.token_bytes(96), "<tool>");
  EXPECT_TRUE(tokenizer.is_special(95));
  EXPECT_FALSE(tokenizer.is_special(96));
}

TEST(TokenizerTest, CorruptDocumentsAreErrorsThatNameThePlace) {
  const auto expect = [](const nlohmann::json& document, ErrorCode code, const std::string& part) {
    const Error error = parse_error(document);
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << error.what() << "\n  expected " << part;
  };
  const nlohmann::json good = ascii_document();
  const auto with = [&](const std::string& pointer, nlohmann::json value) {
    nlohmann::json document = good;
    document[nlohmann::json::json_pointer(pointer)] = std::move(value);
    return document;
  };
  EXPECT_NO_THROW(parse(good));
  expect(nlohmann::json::array(), ErrorCode::invalid_file, "expected an object");
  expect(nlohmann::json::object(), ErrorCode::invalid_file, "\"model\" is missing");
  expect(with("/version", "2.0"), ErrorCode::unsupported, "small.json: version");
  expect(with("/model/type", "WordPiece"), ErrorCode::unsupported,
         "small.json: model.type: model type \"WordPiece\" is not supported, only BPE and Unigram are");
  const auto unigram = [](nlohmann::json vocab, int unk_id) {
    return nlohmann::json{{"model", {{"type", "Unigram"}, {"vocab", std::move(vocab)}, {"unk_id", unk_id}}}};
  };
  expect(unigram({{"a", 1}}, 0), ErrorCode::invalid_file, "model.vocab: expected an array of [token, score]");
  expect(unigram(nlohmann::json::array({{"a", -1.0}, {7, -2.0}}), 0), ErrorCode::invalid_file,
         "model.vocab: token 1: expected [token, score]");
  expect(unigram(nlohmann::json::array({{"a", -1.0}, {"b", -2.0}}), 2), ErrorCode::invalid_file,
         "model.unk_id");
  expect(with("/model/type", 3), ErrorCode::invalid_file, "model.type: expected a string, found 3");
  expect(with("/model/dropout", 0.1), ErrorCode::unsupported, "model.dropout");
  expect(with("/model/fuse_unk", "yes"), ErrorCode::invalid_file, "model.fuse_unk: expected true or false");
  expect(with("/normalizer", {{"type", "Nmt"}}), ErrorCode::unsupported, "normalizer: normalizer type \"Nmt\"");
  expect(with("/pre_tokenizer", {{"type", "UnicodeScripts"}}), ErrorCode::unsupported, "\"UnicodeScripts\"");
  expect(with("/post_processor", {{"type", "BertProcessing"}}), ErrorCode::unsupported, "\"BertProcessing\"");
  expect(with("/decoder", {{"type", "WordPiece"}}), ErrorCode::unsupported, "\"WordPiece\"");
  expect(with("/decoder", nlohmann::json::object()), ErrorCode::invalid_file, "decoder: \"type\" is missing");
  nlohmann::json deep = {{"type", "Sequence"}, {"decoders", nlohmann::json::array()}};
  for (int k = 0; k < 100; ++k) deep = {{"type", "Sequence"}, {"decoders", nlohmann::json::array({deep})}};
  expect(with("/decoder", deep), ErrorCode::invalid_file, "nested too deeply");
}

TEST(TokenizerTest, TextThatIsNotJsonIsAnError) {
  for (const std::string document : {"", "{", "{\"model\": }", "\xFF", "[1,2", "{}x"}) {
    const Error error = parse_error(document);
    EXPECT_EQ(error.code(), ErrorCode::invalid_file) << document;
    EXPECT_EQ(error.message().find("invalid JSON: line 1, column "), 0U) << error.message();
  }
}

TEST(TokenizerTest, AMissingFileIsNotFound) {
  try {
    Tokenizer::load("/nonexistent/model");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_EQ(error.context(), "/nonexistent/model/tokenizer.json");
  }
}

}  // namespace
}  // namespace octet::text
