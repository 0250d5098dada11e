// Every family against transformers: the tiny checkpoints and golden values of scripts/make-tiny-models.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "files/json_value.h"
#include "model/sequence_runner.h"

namespace octet::tests {
namespace {

using files::JsonValue;

constexpr double kTolerance = 2e-3;
constexpr std::size_t kVocabStep = 4;  // golden values of quantised caches have every fourth token's logit

std::string folder(const std::string& family) { return OCTET_SOURCE_DIR "/tests/data/tiny/" + family; }

// These models are too small to share.
RunnerOptions one_thread() {
  RunnerOptions options;
  options.threads = 1;
  return options;
}

std::vector<std::int32_t> tokens_of(const JsonValue& array) {
  std::vector<std::int32_t> ids;
  for (const JsonValue& id : array.elements()) ids.push_back(static_cast<std::int32_t>(id.as_int()));
  return ids;
}

// The largest distance between a row of logits and golden ones, which have every step-th token.
double distance(const float* logits, const JsonValue& golden, int step = 1) {
  double most = 0;
  std::size_t token = 0;
  for (const JsonValue& value : golden.elements()) {
    most = std::max(most, std::abs(static_cast<double>(logits[token]) - value.as_double()));
    token += static_cast<std::size_t>(step);
  }
  return most;
}

class Families : public ::testing::TestWithParam<std::string> {
 protected:
  JsonValue golden_ = JsonValue::read_file(folder(GetParam()) + "/golden.json");
  std::vector<std::int32_t> ids_ = tokens_of(golden_.at("ids"));
  std::vector<std::int32_t> greedy_ = tokens_of(golden_.at("greedy"));

  void expect_prefill(const std::vector<float>& logits, int vocab) const {
    const JsonValue prefill = golden_.at("prefill");
    for (const std::string& position : prefill.keys())
      EXPECT_LT(distance(logits.data() + std::stoi(position) * vocab, prefill.at(position)), kTolerance)
          << "position " << position;
  }
};

TEST_P(Families, PrefillAndGreedyDecodingAreThoseOfTransformers) {
  for (const char* isa : {"", "reference"}) {
    SCOPED_TRACE(isa);
    RunnerOptions options = one_thread();
    options.isa = isa;
    SequenceRunner runner(folder(GetParam()), options);
    const int vocab = runner.config().vocab_size;
    RunnerSequence sequence;
    std::vector<float> logits = runner.step({{&sequence, ids_}}, true);
    expect_prefill(logits, vocab);
    logits.erase(logits.begin(), logits.end() - vocab);
    const std::vector<JsonValue> decode = golden_.at("decode").elements();
    for (std::size_t i = 0; i < greedy_.size(); ++i) {
      EXPECT_EQ(argmax(logits.data(), vocab), greedy_[i]) << "token " << i;
      logits = runner.step({{&sequence, {greedy_[i]}}}, false);
      EXPECT_LT(distance(logits.data(), decode[i]), kTolerance) << "token " << i;
    }
  }
}

TEST_P(Families, ChunksDoNotMatter) {
  SequenceRunner runner(folder(GetParam()), one_thread());
  for (const int chunk : {1, 7}) {
    SCOPED_TRACE(chunk);
    expect_prefill(runner.logits(ids_, chunk), runner.config().vocab_size);
  }
}

TEST_P(Families, TokensWhoseLogitsNobodyWantsChangeNothing) {
  SequenceRunner runner(folder(GetParam()), one_thread());
  const auto vocab = static_cast<std::ptrdiff_t>(runner.config().vocab_size);
  // Logits after the last token of a prompt of 64, a decoded token and a prompt of 17: tokens 63, 64 and 81.
  const auto last_of_each = [&](bool every_token) {
    RunnerSequence whole, some, few;
    const auto first = [&](int count) { return std::vector<std::int32_t>(ids_.begin(), ids_.begin() + count); };
    runner.step({{&some, first(39)}}, every_token);
    std::vector<float> logits =
        runner.step({{&whole, ids_}, {&some, {ids_[39]}}, {&few, first(17)}}, every_token);
    for (RunnerSequence* sequence : {&whole, &some, &few}) runner.release(*sequence);
    if (!every_token) return logits;
    EXPECT_EQ(logits.size(), static_cast<std::size_t>(82 * vocab));
    std::vector<float> last(logits.begin() + 63 * vocab, logits.begin() + 65 * vocab);
    last.insert(last.end(), logits.begin() + 81 * vocab, logits.end());
    return last;
  };
  EXPECT_EQ(last_of_each(false), last_of_each(true));
}

TEST_P(Families, ABatchOfPromptsAndDecodesIsWhatEachIsAlone) {
  SequenceRunner runner(folder(GetParam()), one_thread());
  const auto vocab = static_cast<std::size_t>(runner.config().vocab_size);
  const JsonValue prefill = golden_.at("prefill");
  const auto first = [&](int count) { return std::vector<std::int32_t>(ids_.begin(), ids_.begin() + count); };
  RunnerSequence whole, some, few;
  runner.step({{&some, first(39)}}, false);
  // One decodes its 40th token while the two others are prompts.
  std::vector<float> logits = runner.step({{&whole, ids_}, {&some, {ids_[39]}}, {&few, first(17)}}, false);
  ASSERT_EQ(logits.size(), 3 * vocab);
  EXPECT_LT(distance(logits.data(), prefill.at("63")), kTolerance);
  EXPECT_LT(distance(logits.data() + vocab, prefill.at("39")), kTolerance);
  EXPECT_LT(distance(logits.data() + 2 * vocab, prefill.at("16")), kTolerance);
  for (int i = 0; i < 16; ++i) {
    const auto at = static_cast<std::size_t>(i);
    logits = runner.step({{&few, {ids_[17 + at]}}, {&whole, {greedy_[at]}}}, false);
    EXPECT_LT(distance(logits.data() + vocab, golden_.at("decode").elements()[at]), kTolerance);
  }
}

// A key that rounds the other way, because of a last bit, moves by a whole step of its code: the golden values
// and these are two draws. What is compared is the root of the mean square over the logits.
double mean_distance(const std::vector<double>& logits, const JsonValue& golden) {
  double sum = 0;
  std::size_t token = 0, count = 0;
  for (const JsonValue& value : golden.elements()) {
    const double difference = logits[token] - value.as_double();
    sum += difference * difference;
    token += kVocabStep;
    ++count;
  }
  return std::sqrt(sum / static_cast<double>(count));
}

std::vector<double> numbers_of(const JsonValue& array) {
  std::vector<double> numbers;
  for (const JsonValue& value : array.elements()) numbers.push_back(value.as_double());
  return numbers;
}

// `exact`: the logits where nothing is quantised. What a flip moves is a part of what quantising does.
void expect_quantised(const std::vector<float>& logits, const JsonValue& golden, const JsonValue& exact) {
  const double effect = mean_distance(numbers_of(exact), golden);
  EXPECT_GT(effect, 1e-3);
  EXPECT_LT(mean_distance({logits.begin(), logits.end()}, golden), std::max(0.01, 0.3 * effect));
}

TEST_P(Families, EveryCacheDtypeIsTransformersWithAQuantisedCache) {
  const std::pair<KvDtype, const char*> dtypes[] = {
      {KvDtype::fp8_e4m3, "fp8_e4m3"},
      {KvDtype::fp8_e5m2, "fp8_e5m2"},
      {KvDtype::fp8_per_token_head, "fp8_per_token_head"},
      {KvDtype::int8_per_token_head, "int8_per_token_head"},
      {KvDtype::int8_hadamard_per_token_head, "int8_hadamard_per_token_head"}};
  for (const auto& [dtype, name] : dtypes) {
    SCOPED_TRACE(name);
    RunnerOptions options = one_thread();
    options.dtype = dtype;
    SequenceRunner runner(folder(GetParam()), options);
    const JsonValue expected = golden_.at("cache").at(name);
    RunnerSequence sequence;
    std::vector<float> logits = runner.step({{&sequence, ids_}}, false);
    expect_quantised(logits, expected.at("prefill"), golden_.at("prefill").at("63"));
    for (const std::int32_t id : greedy_) logits = runner.step({{&sequence, {id}}}, false);
    expect_quantised(logits, expected.at("decode"), golden_.at("decode").elements().back());
  }
}

// How many linear layers have whole groups of 32 columns: all but the routers, and Mixtral's w2 here.
int quantisable(const model::ModelConfig& c) {
  int count = 0;
  for (const model::LayerConfig& layer : c.layers)
    count += 4 + (layer.experts ? c.num_experts * (c.expert_intermediate_size % 32 == 0 ? 3 : 2) : 3);
  return count;
}

TEST_P(Families, WeightsMayBeQuantisedAtLoad) {
  SequenceRunner plain(folder(GetParam()), one_thread());
  const std::vector<float> exact = plain.logits(ids_, 64);
  // Of a token that chooses another expert all logits move.
  for (const auto& [quantization, most] :
       {std::pair{model::Quantization::int8, 0.2}, {model::Quantization::fp8, 0.35}}) {
    SequenceRunner runner(folder(GetParam()), one_thread());
    EXPECT_EQ(runner.model().quantize_weights(quantization).count, quantisable(runner.config()));
    const std::vector<float> logits = runner.logits(ids_, 64);
    double difference = 0, all = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      difference += std::pow(static_cast<double>(logits[i] - exact[i]), 2);
      all += std::pow(static_cast<double>(exact[i]), 2);
    }
    const double share = std::sqrt(difference / all);
    EXPECT_GT(share, 1e-3);
    EXPECT_LT(share, most);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, Families,
                         ::testing::Values("llama", "llama3", "mistral", "qwen2", "qwen2_yarn", "qwen3",
                                           "qwen3_moe", "mixtral", "gemma2", "gemma3", "phi3", "smollm3"),
                         [](const auto& test) { return test.param; });

// The mean divergence from the same model with an exact cache, over the prompt, in nats.
double divergence(const std::string& family, KvDtype dtype, const std::vector<std::int32_t>& ids) {
  RunnerOptions options = one_thread();
  SequenceRunner exact(folder(family), options);
  options.dtype = dtype;
  SequenceRunner tried(folder(family), options);
  const auto vocab = static_cast<std::size_t>(exact.config().vocab_size);
  const std::vector<float> p = exact.logits(ids, 64), q = tried.logits(ids, 64);
  double sum = 0;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    double p_total = 0, q_total = 0;
    for (std::size_t i = t * vocab; i < (t + 1) * vocab; ++i) {
      p_total += std::exp(static_cast<double>(p[i]));
      q_total += std::exp(static_cast<double>(q[i]));
    }
    for (std::size_t i = t * vocab; i < (t + 1) * vocab; ++i)
      sum += std::exp(static_cast<double>(p[i])) / p_total *
             (static_cast<double>(p[i]) - std::log(p_total) - static_cast<double>(q[i]) + std::log(q_total));
  }
  return sum / static_cast<double>(ids.size());
}

// Large biases in a few channels: what the text says there falls within one step of FP8. A scale of its own for
// each vector does not help, more bits of mantissa do.
TEST(KeyBias, RuinsFp8KeysAndInt8HoldsThem) {
  const JsonValue golden = JsonValue::read_file(folder("qwen2") + "/golden.json");
  const std::vector<std::int32_t> ids = tokens_of(golden.at("ids"));
  const double fp8 = divergence("qwen2", KvDtype::fp8_e4m3, ids);
  const double turned = divergence("qwen2", KvDtype::int8_hadamard_per_token_head, ids);
  EXPECT_GT(fp8, 0.1);
  EXPECT_GT(divergence("qwen2", KvDtype::fp8_per_token_head, ids), 0.1);
  EXPECT_LT(turned, fp8 / 10);
  EXPECT_LT(divergence("llama", KvDtype::fp8_e4m3, ids), fp8 / 5);  // which has no biases
}

TEST(LongRope, AModelThatIsRunWithinItsOriginalContextTakesTheShortFactors) {
  const JsonValue golden = JsonValue::read_file(folder("phi3") + "/golden.json");
  const std::vector<std::int32_t> ids = tokens_of(golden.at("ids"));
  const std::vector<std::int32_t> first(ids.begin(), ids.begin() + 32);
  SequenceRunner runner(folder("phi3"), one_thread());
  const JsonValue expected = golden.at("short");
  RunnerSequence longer, shorter;
  EXPECT_GT(distance(runner.step({{&longer, first}}, false).data(), expected), 0.05);
  runner.model().set_max_model_len(32);
  EXPECT_LT(distance(runner.step({{&shorter, first}}, false).data(), expected), kTolerance);
}

}  // namespace
}  // namespace octet::tests
