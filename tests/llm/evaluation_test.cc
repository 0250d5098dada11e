#include <gtest/gtest.h>
#include <octet/evaluation.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>

#include "llm/haystack.h"
#include "llm/tiny_llm.h"

namespace octet {
namespace {

struct TinyEvaluation {
  tests::ScratchFolder folder;
  EvaluationOptions options;
  TinyEvaluation() {
    options.model = tests::write_tiny_llm(folder.path() / "tiny");
    options.documents = {
        std::string("The rain went on for days, and then in one hour it was over. "
                    "Nobody in the town had seen the river so high before that winter.")};
    options.context = 100;
    options.layer_tokens = 80;
    options.drift_prompts = 3;
    options.drift_prompt_tokens = 20;
    options.drift_tokens = 10;
    options.threads = 2;
  }
};

TEST(Evaluation, MeasuresEveryConfigurationSideBySide) {
  TinyEvaluation tiny;
  tiny.options.configs = {"fp8_e4m3", "auto", "fp8_e5m2", "fp8+skip=0,1", "fp8_e5m2+k=float16"};
  std::set<std::string> seen;
  const EvaluationResult result = run_evaluation(tiny.options, [&](const EvaluationProgress& progress) {
    EXPECT_LE(progress.done, progress.total);
    seen.insert(progress.measurement);
    return true;
  });
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(seen, (std::set<std::string>{"likelihood", "layers", "drift"}));
  ASSERT_EQ(result.configs.size(), 5u);
  EXPECT_EQ(result.configs[0].name, "auto");  // the baseline comes first
  EXPECT_EQ(result.configs[0].dtype, "float32");
  EXPECT_EQ(result.configs[0].likelihood->kl.mean, 0);
  EXPECT_EQ(result.configs[0].drift->identical, 3);
  const auto kl = [&](std::size_t i) { return result.configs[i].likelihood->kl.mean; };
  EXPECT_EQ(result.configs[1].name, "fp8_e4m3");
  EXPECT_GT(kl(1), 0);
  EXPECT_GT(kl(2), kl(1));  // a bit of mantissa less
  EXPECT_EQ(kl(3), 0);      // both layers are left as they are
  EXPECT_LT(kl(4), kl(2));  // only the values lose
  EXPECT_EQ(result.configs[3].bytes_per_token, result.configs[0].bytes_per_token);
  EXPECT_EQ(result.configs[1].bytes_per_token * 4, result.configs[0].bytes_per_token);
  for (const ConfigFigures& config : result.configs) {
    EXPECT_EQ(config.likelihood->positions, result.tokens);
    EXPECT_EQ(config.likelihood->predictions, result.tokens - 1);
    EXPECT_DOUBLE_EQ(config.likelihood->perplexity, std::exp(config.likelihood->mean_nll));
    EXPECT_GE(config.likelihood->kl.largest, config.likelihood->kl.p99);
    std::int64_t positions = 0;
    for (const PositionFigures& bucket : config.likelihood->by_position) positions += bucket.count;
    EXPECT_EQ(positions, result.tokens);
    ASSERT_EQ(config.layers.size(), 2u);
    EXPECT_EQ(config.layers[0].k.size(), 2u);
    EXPECT_EQ(config.layers[0].output_sqnr_db.size(), 4u);
    EXPECT_EQ(config.drift->texts.size(), 3u);
  }
  EXPECT_EQ(result.layer_tokens, 80);
  EXPECT_EQ(result.configs[4].layers[1].k_dtype, "float16");
  EXPECT_EQ(result.configs[4].layers[1].v_dtype, "fp8_e5m2");
  EXPECT_GT(result.configs[4].layers[1].k[0].sqnr_db, result.configs[2].layers[1].k[0].sqnr_db + 20);
  EXPECT_EQ(result.configs[4].layers[1].v[0].sqnr_db, result.configs[2].layers[1].v[0].sqnr_db);
}

TEST(Evaluation, CalculatedScalesStandBesideTheCheckpoints) {
  TinyEvaluation tiny;
  tiny.options.configs = {"fp8", "fp8+scales=random", "fp8+scales=prompt+strategy=attn_head",
                          "fp8+skip=0+scales=bound"};
  const EvaluationResult result = run_evaluation(tiny.options);
  ASSERT_EQ(result.configs.size(), 5u);
  const auto source = [&](std::size_t i) { return result.configs[i].scale_source; };
  EXPECT_EQ(source(1), "none found: 1.0");
  EXPECT_EQ(source(2), "calculated from 256 random tokens");
  EXPECT_EQ(source(3), "calculated from the first prompt (100 tokens)");  // the first window
  EXPECT_EQ(source(4), "calculated from the weights");
  EXPECT_EQ(result.configs[3].scale_strategy, "attn_head");
  EXPECT_EQ(result.configs[4].scale_strategy, "tensor");
  const auto& random = result.configs[2].layers[1].k;
  EXPECT_EQ(random[0].scale, random[1].scale);
  EXPECT_NE(random[0].scale, 1);
  const auto& prompt = result.configs[3].layers[1].k;
  EXPECT_NE(prompt[0].scale, prompt[1].scale);
  // Four times what the prompt showed, which is the text here: 448 stands for it.
  EXPECT_NEAR(prompt[0].scale * 448 / prompt[0].absmax, 4, 1.5);
  EXPECT_GE(result.configs[4].layers[1].v[0].scale * 448, result.configs[4].layers[1].v[0].absmax);
  for (std::size_t i = 1; i < 5; ++i) EXPECT_GT(result.configs[i].likelihood->kl.mean, 0);
  EXPECT_NE(result.configs[2].likelihood->kl.mean, result.configs[1].likelihood->kl.mean);

  tiny.options.documents = {};
  tiny.options.needle_lengths = {230};
  tiny.options.configs = {"fp8+scales=prompt"};
  EXPECT_TRUE(
      run_evaluation(tiny.options).configs[1].scale_source.starts_with("calculated from the first prompt"));
}

TEST(Evaluation, RoundedActivationsBelongToTheConfiguration) {
  TinyEvaluation tiny;
  tiny.options.configs = {"auto+dtype=bfloat16", "auto+dtype=float32"};
  const EvaluationResult result = run_evaluation(tiny.options);
  EXPECT_GT(result.configs[1].likelihood->kl.mean, 0);
  EXPECT_EQ(result.configs[2].likelihood->kl.mean, 0);
}

// So does what its weights are quantised to while loading, which is what an LLM computes with them.
TEST(Evaluation, QuantisedWeightsBelongToTheConfiguration) {
  TinyEvaluation tiny;
  tiny.options.configs = {"auto+quantization=int8", "auto+quantization=fp8", "fp8+quantization=int8", "fp8"};
  tiny.options.documents = {std::vector<std::int32_t>{5, 80, 17, 3, 44, 91, 200, 6, 33, 12}};
  tiny.options.drift_prompts = tiny.options.layer_tokens = 0;
  const EvaluationResult result = run_evaluation(tiny.options);
  ASSERT_EQ(result.configs.size(), 5u);
  std::set<double> divergences;
  for (const ConfigFigures& config : result.configs) divergences.insert(config.likelihood->kl.mean);
  EXPECT_EQ(divergences.size(), 5u);
  EXPECT_EQ(*divergences.begin(), 0);  // the baseline's alone
  EXPECT_TRUE(std::any_of(result.notices.begin(), result.notices.end(), [](const std::string& notice) {
    return notice.starts_with("auto+quantization=int8: quantization int8: 14 linear layers");
  }));
  LLMOptions quantised{.model = tiny.options.model, .quantization = "int8", .threads = 1};
  LLM llm(quantised);
  const RequestOutput output = llm.generate(tiny.options.documents[0], {.max_tokens = 1, .prompt_logprobs = 0});
  double nll = 0;
  for (std::size_t i = 1; i < output.prompt_logprobs.size(); ++i)
    nll -= static_cast<double>(output.prompt_logprobs[i].front().logprob);
  EXPECT_NEAR(result.configs[1].likelihood->mean_nll, nll / 9, 1e-5);
}

// The arithmetic of attention belongs to its configuration, also where several share a model and take turns.
TEST(Evaluation, AttentionMathBelongsToTheConfiguration) {
  TinyEvaluation tiny;
  tiny.options.configs = {"fp8+math=fp8", "fp8", "fp8+math=fp8-hopper-plain", "fp8+math=fp32"};
  const EvaluationResult result = run_evaluation(tiny.options);
  ASSERT_EQ(result.configs.size(), 5u);
  const auto kl = [&](std::size_t i) { return result.configs[i].likelihood->kl.mean; };
  EXPECT_NE(kl(1), kl(2));
  EXPECT_NE(kl(1), kl(3));
  EXPECT_EQ(kl(2), kl(4));
  const auto output = [&](std::size_t i) { return result.configs[i].layers[0].output_sqnr_db; };
  EXPECT_NE(output(1), output(2));
  EXPECT_NE(output(1), output(3));
  EXPECT_EQ(output(2), output(4));
  EXPECT_EQ(result.configs[1].layers[0].k[0].sqnr_db, result.configs[2].layers[0].k[0].sqnr_db);
  tiny.options.configs = {"fp8"};
  EvaluationOptions alone = tiny.options;
  EXPECT_EQ(run_evaluation(alone).configs[1].likelihood->kl.mean, kl(2));
  alone.configs = {"float16+math=fp8"};
  EXPECT_EQ(tests::error_of([&] { run_evaluation(alone); }).context(), "attention_math");
  alone.configs = {"fp8+math=fp4"};
  EXPECT_EQ(tests::error_of([&] { run_evaluation(alone); }).context(), "configs");
}

TEST(Evaluation, AnotherCheckpointBringsItsScalesAndAnFp8OneIsNoBaseline) {
  TinyEvaluation tiny;
  tests::TinyOptions calibrated;
  calibrated.extra_config =
      R"("quantization_config": {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8,)"
      R"( "type": "float", "strategy": "tensor", "dynamic": false, "symmetric": true}})";
  for (const char* layer : {"0", "1"})
    for (const char* which : {"k", "v"})
      calibrated.extra_tensors.push_back(
          {std::string("model.layers.") + layer + ".self_attn." + which + "_scale", {1}, {0.001f}});
  const std::string directory = tests::write_tiny_llm(tiny.folder.path() / "calibrated", calibrated);
  tiny.options.configs = {directory, directory + ":fp8_e5m2"};
  EvaluationResult result = run_evaluation(tiny.options);
  ASSERT_EQ(result.configs.size(), 3u);
  EXPECT_EQ(result.configs[1].directory, directory);
  EXPECT_EQ(result.configs[1].dtype, "fp8_e4m3");
  EXPECT_EQ(result.configs[1].scale_source, "checkpoint (4 tensors)");
  EXPECT_FLOAT_EQ(static_cast<float>(result.configs[1].layers[0].k[0].scale), 0.001f);
  EXPECT_GT(result.configs[1].layers[0].k[0].saturation, 0.1);  // nothing above 0.448 fits
  EXPECT_EQ(result.configs[2].layers[0].k[0].saturation, 0);    // E5M2 reaches 57
  EXPECT_GT(result.configs[1].likelihood->kl.mean, result.configs[2].likelihood->kl.mean);

  tiny.options.model = directory;
  tiny.options.configs = {"auto"};
  result = run_evaluation(tiny.options);
  EXPECT_EQ(result.configs[0].name, "float16");
  EXPECT_EQ(result.configs[1].name, "auto");
  EXPECT_GT(result.configs[1].likelihood->kl.mean, 0);
}

TEST(Evaluation, NeedlesByLengthAndDepth) {
  TinyEvaluation tiny;
  tiny.options.documents = {};
  tiny.options.needle_lengths = {230, 256};
  tiny.options.needle_depths = {0, 100};
  tiny.options.needle_samples = 2;
  const EvaluationResult result = run_evaluation(tiny.options);
  for (const ConfigFigures& config : result.configs) {
    EXPECT_FALSE(config.likelihood || config.drift);
    EXPECT_TRUE(config.layers.empty());
    ASSERT_EQ(config.needles.size(), 4u);
    EXPECT_EQ(config.needles[1].length, 230);
    EXPECT_EQ(config.needles[1].depth, 100);
    EXPECT_EQ(config.needles[2].length, 256);
    for (const NeedleFigures& cell : config.needles) EXPECT_LT(cell.logprob, 0);
  }
}

TEST(Evaluation, TheCallbackEndsIt) {
  TinyEvaluation tiny;
  const EvaluationResult result = run_evaluation(
      tiny.options, [](const EvaluationProgress& progress) { return progress.measurement == "likelihood"; });
  EXPECT_FALSE(result.complete);
  EXPECT_TRUE(result.configs[1].likelihood);
  EXPECT_TRUE(result.configs[1].layers.empty());
}

TEST(Evaluation, MaxTokensEndsTheText) {
  TinyEvaluation tiny;
  tiny.options.documents = {std::vector<std::int32_t>(50, 9), std::vector<std::int32_t>(50, 10)};
  tiny.options.max_tokens = 70;
  const EvaluationResult result = run_evaluation(tiny.options);
  EXPECT_EQ(result.tokens, 70);
  EXPECT_EQ(result.documents, 2);
  EXPECT_EQ(result.configs[0].likelihood->predictions, 68);
}

// What is left out and what is left are together all of it.
TEST(Evaluation, MinContextLeavesOutTheBeginningsOfWindows) {
  TinyEvaluation tiny;
  tiny.options.drift_prompts = tiny.options.layer_tokens = 0;
  std::vector<Prompt> wholes, beginnings;
  for (const int step : {7, 11}) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 100; ++i) ids.push_back((13 + i * step) % 250);
    wholes.emplace_back(ids);
    ids.resize(51);
    beginnings.emplace_back(ids);
  }
  const auto figures = [&](const std::vector<Prompt>& documents, int min_context) {
    tiny.options.documents = documents;
    tiny.options.min_context = min_context;
    const EvaluationResult result = run_evaluation(tiny.options);
    EXPECT_EQ(result.min_context, min_context);
    return *result.configs[1].likelihood;
  };
  const LikelihoodFigures whole = figures(wholes, 0), end = figures(wholes, 50), begin = figures(beginnings, 0);
  EXPECT_EQ(whole.predictions, 2 * 99);
  EXPECT_EQ(end.predictions, 2 * 49);
  EXPECT_EQ(end.positions, 2 * 50);
  EXPECT_EQ(begin.predictions, 2 * 50);
  EXPECT_NEAR(198 * whole.mean_nll, 98 * end.mean_nll + 100 * begin.mean_nll, 1e-4);
  tiny.options.stride = 60;  // two windows of 100, the second scored from its 40th on
  EXPECT_EQ(figures({std::vector<std::int32_t>(160, 9)}, 70).predictions, 30 + 29);
}

TEST(Evaluation, ADatasetIsDocumentsOfItsOwn) {
  TinyEvaluation tiny;
  const std::filesystem::path file = tiny.folder.path() / "samples.jsonl";
  tests::tiny::write_file(file, R"({"input_ids":[5,6,7,8]})"
                                "\n"
                                R"({"messages":[{"role":"user","content":"hello there"}]})"
                                "\n"
                                R"({"text":"a"})"
                                "\n"
                                R"({"prompt":"one ","completion":"two"})"
                                "\n");
  tiny.options.documents = {};
  tiny.options.dataset = file.string();
  const EvaluationResult result = run_evaluation(tiny.options);
  EXPECT_EQ(result.documents, 3);
  EXPECT_GT(result.tokens, 4 + 7);
  EXPECT_EQ(result.configs[0].likelihood->predictions, result.tokens - 3);
  EXPECT_NE(result.notices[0].find("1 samples"), std::string::npos) << result.notices[0];
  tiny.options.dataset_samples = 0;
  EXPECT_EQ(tests::error_of([&] { run_evaluation(tiny.options); }).context(), "dataset_samples");
}

TEST(Evaluation, RefusesBadOptionsBeforeMeasuring) {
  const auto refused = [](auto change) {
    TinyEvaluation tiny;
    change(tiny.options);
    return tests::error_of([&] {
      run_evaluation(tiny.options,
                     [](const EvaluationProgress&) -> bool { throw std::logic_error("measured"); });
    });
  };
  const auto context = [&](auto change) {
    const Error error = refused(change);
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
    return error.context();
  };
  using Options = EvaluationOptions;
  EXPECT_EQ(context([](Options& o) { o.configs = {}; }), "configs");
  EXPECT_EQ(context([](Options& o) { o.configs = {"auto", "fp9"}; }), "configs");
  EXPECT_EQ(context([](Options& o) { o.configs = {"fp8", "fp8"}; }), "configs");
  EXPECT_EQ(context([](Options& o) { o.configs = {"fp8+k=int3"}; }), "configs");
  EXPECT_EQ(context([](Options& o) { o.configs = {"fp8+skip=7"}; }), "kv_cache_dtype_skip_layers");
  EXPECT_EQ(context([](Options& o) { o.configs = {"fp8+scales=dataset"}; }), "configs");
  EXPECT_EQ(context([](Options& o) { o.configs = {"fp8+scales=random+strategy=channel"}; }), "configs");
  EXPECT_EQ(context([](Options& o) { o.configs = {"fp8+strategy=attn_head"}; }), "kv_scale_strategy");
  EXPECT_EQ(context([](Options& o) { o.configs = {"float16+scales=random"}; }), "calculate_kv_scales");
  EXPECT_EQ(context([](Options& o) { o.baseline = "none"; }), "baseline");
  EXPECT_EQ(context([](Options& o) { o.documents = {}; }), "documents");
  EXPECT_EQ(context([](Options& o) { o.documents = {"ab", "a"}; }), "document 1");
  EXPECT_EQ(context([](Options& o) { o.documents = {std::vector<std::int32_t>{1, 999}}; }), "document 0");
  EXPECT_EQ(context([](Options& o) { o.context = 1; }), "context");
  EXPECT_EQ(context([](Options& o) { o.context = 257; }), "context");
  EXPECT_EQ(context([](Options& o) { o.stride = 101; }), "stride");
  EXPECT_EQ(context([](Options& o) { o.min_context = -1; }), "min_context");
  EXPECT_EQ(context([](Options& o) { o.min_context = 100; }), "min_context");
  EXPECT_EQ(context([](Options& o) { o.documents = {std::vector<std::int32_t>(20, 9)}, o.min_context = 19; }),
            "min_context");
  EXPECT_EQ(context([](Options& o) { o.configs = {"auto+quantization=int4"}; }), "configs");
  EXPECT_EQ(context([](Options& o) { o.max_tokens = 1; }), "max_tokens");
  EXPECT_EQ(context([](Options& o) { o.drift_tokens = 250; }), "drift_prompt_tokens and drift_tokens together");
  EXPECT_EQ(context([](Options& o) { o.needle_lengths = {40}; }), "needle_lengths");
  EXPECT_EQ(context([](Options& o) { o.needle_lengths = {1000}; }), "needle_lengths");
  EXPECT_EQ(context([](Options& o) { o.needle_lengths = {250}, o.needle_depths = {101}; }), "needle_depths");
  const std::string listed = refused([](Options& o) { o.configs = {"fp9"}; }).message();
  for (const char* name : {"auto", "fp8_e4m3", "fp8_e5m2", "bfloat16", "DIR", "'fp9'"})
    EXPECT_NE(listed.find(name), std::string::npos) << listed;
}

TEST(Evaluation, RefusesTheDirectoryOfAnotherModel) {
  TinyEvaluation tiny;
  tests::TinyOptions other;
  other.num_layers = 3;
  const std::string directory = tests::write_tiny_llm(tiny.folder.path() / "other", other);
  tiny.options.configs = {directory};
  const Error error = tests::error_of([&] { run_evaluation(tiny.options); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_file);
  EXPECT_EQ(error.context(), directory);
  EXPECT_NE(error.message().find("num_hidden_layers 2, found 3"), std::string::npos) << error.what();
}

TEST(Haystack, HidesTheKeyAtItsDepthAndEndsBeforeTheAnswer) {
  tests::ScratchFolder folder;
  const text::Tokenizer tokenizer = text::Tokenizer::load(tests::write_tiny_llm(folder.path()));
  for (const int depth : {0, 25, 50, 100}) {
    const evaluate::NeedlePrompt needle = llm::make_needle(tokenizer, 1500, depth, 5);
    const std::string prompt = tokenizer.decode(needle.prompt, false);
    const std::string answer = tokenizer.decode(needle.answer, false);
    EXPECT_LE(needle.prompt.size() + needle.answer.size(), 1500u);
    EXPECT_GT(needle.prompt.size() + needle.answer.size(), 1350u);
    ASSERT_EQ(answer.size(), 6u);  // a blank and five digits
    EXPECT_TRUE(prompt.ends_with(" is")) << prompt;
    const std::size_t question = prompt.find("\n\nQuestion: What is the pass key of the ");
    const std::size_t at = prompt.find(answer + ".");
    ASSERT_NE(question, std::string::npos);
    ASSERT_LT(at, question);
    EXPECT_EQ(prompt.find(answer, at + 1), std::string::npos);  // nowhere else
    EXPECT_NEAR(static_cast<double>(at) / static_cast<double>(question), depth / 100.0, 0.1);
    EXPECT_EQ(needle.prompt, llm::make_needle(tokenizer, 1500, depth, 5).prompt);
    EXPECT_NE(needle.answer, llm::make_needle(tokenizer, 1500, depth, 6).answer);
  }
}

}  // namespace
}  // namespace octet
