// SmolLM2-135M-Instruct through the public API, against the reference implementation (tests/golden): text in,
// tokens and text out, with scales read from a checkpoint as llm-compressor writes it.
#include <gtest/gtest.h>
#include <octet/llm.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "files/checkpoint.h"
#include "files/json_value.h"
#include "llm/tiny_llm.h"

namespace octet {
namespace {

namespace fs = std::filesystem;
using files::JsonValue;

fs::path model_directory() {
  const char* chosen = std::getenv("OCTET_TEST_MODEL");
  return chosen != nullptr ? chosen : OCTET_SOURCE_DIR "/models/smollm2-135m-instruct";
}

JsonValue golden(const std::string& file) {
  return JsonValue::read_file(OCTET_SOURCE_DIR "/tests/golden/" + file);
}

std::vector<std::int32_t> ids_of(const JsonValue& array) {
  std::vector<std::int32_t> ids;
  for (const JsonValue& id : array.elements()) ids.push_back(static_cast<std::int32_t>(id.as_int()));
  return ids;
}

// The scales of calibration.json as a shard beside the weights: [1] per tensor, [heads, 1, 1] per head.
void write_scale_shard(const fs::path& path, const std::string& strategy, std::string& weight_map) {
  tests::tiny::SafetensorsText file;
  const JsonValue scales = golden("calibration.json").at("scales").at(strategy);
  for (const char* which : {"k", "v"}) {
    const std::vector<JsonValue> layers = scales.at(which).elements();
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      std::vector<float> values;
      for (const JsonValue& value : layers[layer].elements())
        values.push_back(static_cast<float>(value.as_double()));
      const auto heads = static_cast<std::int64_t>(values.size());
      const std::string name = "model.layers." + std::to_string(layer) + ".self_attn." + which + "_scale";
      file.add(name,
               strategy == "tensor" ? std::vector<std::int64_t>{1} : std::vector<std::int64_t>{heads, 1, 1},
               values, /*as_bfloat16=*/false);
      weight_map += ",\"" + name + "\":\"" + path.filename().string() + "\"";
    }
  }
  tests::tiny::write_file(path, file.finish());
}

// As llm-compressor writes it; the golden one was made per head, and per tensor differs in that word alone.
std::string quantization_config(const std::string& strategy) {
  std::string text = golden("calibration.json").at("quantization_config").dump();
  const std::string from = "\"strategy\":\"attn_head\"";
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; ++at)
    text.replace(at, from.size(), "\"strategy\":\"" + strategy + "\"");
  return text;
}

// The model as a calibrated checkpoint: the same weights, the scales in a second shard, and the
// quantization_config that asks for an FP8 cache.
void write_calibrated(const fs::path& folder, const std::string& strategy) {
  const fs::path model = fs::absolute(model_directory());
  for (const fs::directory_entry& entry : fs::directory_iterator(model)) {
    const std::string name = entry.path().filename().string();
    if (name != "config.json" && !name.starts_with("model.safetensors"))
      fs::create_symlink(entry, folder / name);
  }
  fs::create_symlink(model / "model.safetensors", folder / "model-00001-of-00002.safetensors");
  std::string weight_map;
  const files::Checkpoint checkpoint = files::Checkpoint::open(model.string());
  for (const files::TensorView& tensor : checkpoint.tensors())
    weight_map += (weight_map.empty() ? "\"" : ",\"") + tensor.name + "\":\"model-00001-of-00002.safetensors\"";
  write_scale_shard(folder / "model-00002-of-00002.safetensors", strategy, weight_map);
  tests::tiny::write_file(folder / "model.safetensors.index.json",
                          R"({"metadata":{},"weight_map":{)" + weight_map + "}}");
  std::string config = checkpoint.config().dump();
  config.pop_back();
  config += ",\"quantization_config\":" + quantization_config(strategy);
  tests::tiny::write_file(folder / "config.json", config + "}");
}

// Greedy tokens may part only where the reference's own margin is so small that rounding decides. Returns
// how many agreed.
int expect_golden_tokens(const std::vector<std::int32_t>& got, const JsonValue& mode, double margin_limit,
                         const std::string& where) {
  const std::vector<std::int32_t> expected = ids_of(mode.at("greedy"));
  const std::vector<JsonValue> margins = mode.at("margin").elements();
  for (std::size_t step = 0; step < expected.size(); ++step) {
    if (step < got.size() && got[step] == expected[step]) continue;
    EXPECT_LT(margins[step].as_double(), margin_limit) << where << " parts at step " << step;
    return static_cast<int>(step);
  }
  return static_cast<int>(expected.size());
}

void expect_golden_answers(LLM& llm, const std::string& mode) {
  const SamplingParams params{.temperature = 0, .ignore_eos = true, .max_tokens = 32};
  const double margin_limit = mode == "auto" ? 0.05 : 0.5;
  int agreed = 0, all = 0;
  for (const JsonValue& prompt : golden("smollm2.json").at("prompts").elements()) {
    const std::string text = prompt.at("text").as_string();
    const bool chat = prompt.at("kind").as_string() == "chat";
    const RequestOutput output = chat ? llm.chat({{"user", text}}, params) : llm.generate(text, params);
    EXPECT_EQ(output.prompt, prompt.at("rendered").as_string());
    ASSERT_EQ(output.prompt_token_ids, ids_of(prompt.at("ids"))) << text;
    const JsonValue expected = prompt.at("modes").at(mode);
    const int steps =
        expect_golden_tokens(output.outputs[0].token_ids, expected, margin_limit, mode + ", " + text);
    agreed += steps;
    all += static_cast<int>(ids_of(expected.at("greedy")).size());
    if (steps < static_cast<int>(ids_of(expected.at("greedy")).size())) continue;
    EXPECT_EQ(output.outputs[0].text, llm.decode(output.outputs[0].token_ids, /*skip_special_tokens=*/true));
  }
  // Parting early everywhere would be no agreement, however small the margins.
  EXPECT_GE(agreed, all / 2) << mode;
}

class LlmGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(model_directory() / "model.safetensors"))
      GTEST_SKIP() << "no model at " << model_directory() << ": run scripts/get-model";
  }
};

TEST_F(LlmGolden, AutoGivesTheReferencesTokens) {
  LLM llm({.model = model_directory().string()});
  EXPECT_EQ(llm.kv_cache_stats().dtype, "float16");
  expect_golden_answers(llm, "auto");
}

TEST_F(LlmGolden, Fp8WithoutScalesGivesTheReferencesTokens) {
  for (const std::string mode : {"fp8_e4m3", "fp8_e5m2"}) {
    LLM llm({.model = model_directory().string(), .kv_cache_dtype = mode});
    EXPECT_EQ(llm.kv_cache_stats().bytes_per_token, 30 * 3 * 64 * 2);
    EXPECT_EQ(llm.notices().size(), 1u);
    expect_golden_answers(llm, mode);
  }
}

TEST_F(LlmGolden, ACalibratedCheckpointIsTakenAtItsWord) {
  for (const std::string strategy : {"tensor", "attn_head"}) {
    const tests::ScratchFolder folder;
    write_calibrated(folder.path(), strategy);
    LLM llm({.model = folder.path().string()});
    EXPECT_EQ(llm.kv_cache_stats().dtype, "fp8_e4m3");
    EXPECT_EQ(llm.kv_cache_stats().scale_source, "checkpoint (60 tensors)");
    EXPECT_EQ(llm.kv_cache_stats().scale_strategy, strategy);
    expect_golden_answers(llm, "fp8_e4m3/" + strategy);
  }
}

// Every token's id and log-probability, to the bit.
std::vector<std::pair<std::int32_t, float>> chosen(const RequestOutput& output) {
  std::vector<std::pair<std::int32_t, float>> tokens;
  for (const std::vector<Logprob>& step : output.outputs[0].logprobs)
    tokens.emplace_back(step[0].token_id, step[0].logprob);
  return tokens;
}

// Paging, batching, chunked prefill, threads and preemption change nothing of an answer, not its last bit: with
// FP8 a last bit is enough to store a key as its neighbour.
TEST_F(LlmGolden, ARequestGivesTheSameBitsAloneAndInAnyCompany) {
  const SamplingParams params{.temperature = 0, .ignore_eos = true, .max_tokens = 16, .logprobs = 0};
  std::vector<Prompt> prompts;
  for (const JsonValue& prompt : golden("smollm2.json").at("prompts").elements())
    prompts.emplace_back(ids_of(prompt.at("ids")));
  for (const std::string dtype : {"auto", "fp8_e4m3"}) {
    const LLMOptions plain{.model = model_directory().string(), .kv_cache_dtype = dtype, .max_model_len = 128};
    std::vector<std::vector<std::pair<std::int32_t, float>>> alone;
    LLM llm(plain);
    for (const Prompt& prompt : prompts) alone.push_back(chosen(llm.generate(prompt, params)));

    LLMOptions crowded = plain, chunked = plain, preempting = plain;
    crowded.block_size = 64;  // blocks of 8 keep their keys in another order, and sum in it
    crowded.threads = 1;
    chunked.max_num_seqs = 3;
    chunked.max_num_batched_tokens = 7;
    chunked.block_size = 32;
    preempting.kv_cache_memory_bytes = (dtype == "auto" ? 2 : 1) * 11520LL * 128;  // one sequence of 128 tokens
    for (const LLMOptions& options : {crowded, chunked, preempting}) {
      LLM other(options);
      const auto together = other.generate(prompts, params);
      for (std::size_t i = 0; i < prompts.size(); ++i)
        EXPECT_EQ(chosen(together[i]), alone[i])
            << dtype << ", prompt " << i << ", blocks of " << options.block_size << ", cache of "
            << options.kv_cache_memory_bytes;
    }
  }
}

TEST_F(LlmGolden, CalculatedScalesAnswerAndSaturateNothing) {
  for (const char* from : {"random", "prompt", "bound"}) {
    LLM llm({.model = model_directory().string(),
             .kv_cache_dtype = "fp8",
             .calculate_kv_scales = from,
             .kv_scale_strategy = "attn_head",
             .max_model_len = 128});
    const RequestOutput output = llm.generate("The capital of France is", {.temperature = 0, .max_tokens = 4});
    EXPECT_EQ(output.outputs[0].text.substr(0, 6), " Paris") << from;
    EXPECT_EQ(llm.kv_cache_stats().saturated_values.value_or(0), 0) << from;
  }
}

}  // namespace
}  // namespace octet
