#include "llm/generation_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llm/tiny_llm.h"

namespace octet::llm {
namespace {

struct Loaded {
  tests::ScratchFolder folder;
  files::Checkpoint checkpoint;
  model::ModelConfig config;
  text::Tokenizer tokenizer;

  // `generation` is the text of generation_config.json; empty = no such file.
  explicit Loaded(const std::string& generation, const std::string& tokenizer_config = "")
      : checkpoint(open(folder, generation, tokenizer_config)),
        config(model::read_model_config(checkpoint.config())),
        tokenizer(text::Tokenizer::load(folder.path().string())) {}

 private:
  static files::Checkpoint open(const tests::ScratchFolder& folder, const std::string& generation,
                                const std::string& tokenizer_config) {
    tests::write_tiny_llm(folder.path());
    if (generation.empty())
      std::filesystem::remove(folder.path() / "generation_config.json");
    else
      tests::tiny::write_file(folder.path() / "generation_config.json", generation);
    if (!tokenizer_config.empty())
      tests::tiny::write_file(folder.path() / "tokenizer_config.json", tokenizer_config);
    return files::Checkpoint::open(folder.path().string());
  }
};

EndTokens end_tokens(const Loaded& loaded) {
  return read_end_tokens(loaded.checkpoint, loaded.config, loaded.tokenizer);
}

TEST(EndTokens, TheTokenizersIsPrimaryAndTheGenerationConfigsJoinIt) {
  const EndTokens tokens = end_tokens(Loaded(R"({"eos_token_id":[7,256,9]})"));
  EXPECT_EQ(tokens.primary, tests::kEndToken);
  EXPECT_EQ(tokens.all, (std::vector<std::int32_t>{256, 7, 9}));
}

TEST(EndTokens, ConfigJsonCountsWhereThereIsNoGenerationConfig) {
  // The tiny config.json says 2.
  EXPECT_EQ(end_tokens(Loaded("")).all, (std::vector<std::int32_t>{256, 2}));
  EXPECT_EQ(end_tokens(Loaded(R"({"temperature":0.5})")).all, (std::vector<std::int32_t>{256, 2}));
}

TEST(EndTokens, TheFirstOfTheConfigsIsPrimaryWhereTheTokenizerNamesNone) {
  EXPECT_EQ(end_tokens(Loaded(R"({"eos_token_id":[7,9]})", "{}")).primary, 7);
}

TEST(EndTokens, RefusesAnIdOutsideTheVocabulary) {
  for (const char* bad : {R"({"eos_token_id":264})", R"({"eos_token_id":[1,-1]})", R"({"eos_token_id":"x"})"}) {
    const Loaded loaded(bad);
    const Error error = tests::error_of([&] { end_tokens(loaded); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_file);
    EXPECT_NE(std::string(error.what()).find("eos_token_id"), std::string::npos) << error.what();
  }
}

TEST(DefaultSamplingParams, AreVllmsWhereNothingIsSaid) {
  const SamplingParams params = read_default_sampling_params(Loaded("").checkpoint);
  EXPECT_EQ(params.temperature, 1.0);
  EXPECT_EQ(params.max_tokens, 16);
}

TEST(DefaultSamplingParams, ComeFromGenerationConfig) {
  const SamplingParams params = read_default_sampling_params(
      Loaded(R"({"temperature":0.6,"top_p":0.9,"top_k":50,"min_p":0.1,"repetition_penalty":1.1,)"
             R"("max_new_tokens":77,"do_sample":true})")
          .checkpoint);
  EXPECT_EQ(params.temperature, 0.6);
  EXPECT_EQ(params.top_p, 0.9);
  EXPECT_EQ(params.top_k, 50);
  EXPECT_EQ(params.min_p, 0.1);
  EXPECT_EQ(params.repetition_penalty, 1.1);
  EXPECT_EQ(params.max_tokens, 77);
}

TEST(DefaultSamplingParams, BadValuesNameTheFileAndTheField) {
  for (const char* bad : {R"({"top_p":1.5})", R"({"top_p":"x"})", R"({"top_p":0})"}) {
    const Loaded loaded(bad);
    const Error error = tests::error_of([&] { read_default_sampling_params(loaded.checkpoint); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_file);
    EXPECT_NE(std::string(error.what()).find("generation_config.json"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("top_p"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace octet::llm
