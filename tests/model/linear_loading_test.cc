// Quantised weights of safetensors checkpoints: the tiny ones of scripts/make-quantized-models against
// transformers, and what is refused; and quantising at load.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "files/expect_error.h"
#include "files/json_value.h"
#include "files/safetensors_builder.h"
#include "model/linear.h"
#include "model/sequence_runner.h"
#include "model/weight_quantization.h"
#include "numeric/fp8.h"

namespace octet::tests {
namespace {

using files::JsonValue;
using model::Linear;

class QuantizedCheckpoint : public ::testing::TestWithParam<std::string> {};

TEST_P(QuantizedCheckpoint, LogitsAreThoseOfTransformers) {
  const std::string folder = OCTET_SOURCE_DIR "/tests/data/quantized/" + GetParam();
  const JsonValue golden = JsonValue::read_file(folder + "/golden.json");
  std::vector<std::int32_t> ids;
  for (const JsonValue& id : golden.at("ids").elements()) ids.push_back(static_cast<std::int32_t>(id.as_int()));
  for (const char* isa : {"", "reference"}) {
    SCOPED_TRACE(isa);
    RunnerOptions options;
    options.isa = isa;
    SequenceRunner runner(folder, options);
    RunnerSequence whole, stepwise;
    const std::vector<float> logits = runner.step({{&whole, ids}}, true);
    runner.step({{&stepwise, {ids.begin(), ids.end() - 1}}}, false);
    const std::vector<float> last = runner.step({{&stepwise, {ids.back()}}}, false);
    const auto vocab = static_cast<std::size_t>(runner.config().vocab_size);
    for (const std::string& position : golden.at("prefill").keys()) {
      const std::size_t row = static_cast<std::size_t>(std::stoi(position)) * vocab;
      const std::vector<JsonValue> expected = golden.at("prefill").at(position).elements();
      ASSERT_EQ(expected.size(), vocab);
      for (std::size_t i = 0; i < vocab; ++i)
        ASSERT_NEAR(logits[row + i], expected[i].as_double(), 2e-3)
            << "position " << position << " token " << i;
    }
    for (std::size_t i = 0; i < vocab; ++i) ASSERT_NEAR(last[i], logits[(ids.size() - 1) * vocab + i], 1e-3);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, QuantizedCheckpoint,
                         ::testing::Values("fp8_channel", "fp8_tensor", "fp8_block", "w4a16", "w4a16_asym",
                                           "w8a16", "int8", "modelopt", "deepseek", "static"),
                         [](const auto& test) { return test.param; });

// A tiny checkpoint with its linear layers in FP8, a scale a block of 32 x 32 as Qwen3's and DeepSeek's have
// them; and one of the same numbers.
class Fp8Blocks : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto source = files::Checkpoint::open(OCTET_SOURCE_DIR "/tests/data/tiny/" + GetParam());
    for (const files::TensorView& tensor : source.tensors()) {
      const bool linear =
          tensor.name.find("_proj.") != std::string::npos || tensor.name.find(".experts.") != std::string::npos;
      if (linear && tensor.name.ends_with(".weight") && tensor.shape[1] % 32 == 0) {
        quantise(tensor);
        continue;
      }
      for (SafetensorsBuilder* file : {&codes_, &numbers_})
        file->floats(tensor.name, tensor.shape, tensor.to_floats());
    }
    const std::string config = source.config().dump();
    quantised_.write("model.safetensors", codes_.finish());
    quantised_.write("config.json", config.substr(0, config.rfind('}')) +
                                        R"(,"quantization_config":{"quant_method":"fp8","fmt":"e4m3",)"
                                        R"("activation_scheme":"dynamic","weight_block_size":[32,32]}})");
    plain_.write("model.safetensors", numbers_.finish());
    plain_.write("config.json", config);
  }

  // Scales are powers of two, so that each product is exact.
  void quantise(const files::TensorView& tensor) {
    const std::int64_t rows = tensor.shape[0], cols = tensor.shape[1], across = cols / 32;
    std::vector<float> values = tensor.to_floats(), scales(static_cast<std::size_t>((rows + 31) / 32 * across));
    for (std::size_t block = 0; block < scales.size(); ++block)
      scales[block] = std::ldexp(1.0f, -6 - static_cast<int>(block % 3));
    std::string codes;
    for (std::int64_t at = 0; at < rows * cols; ++at) {
      const float scale = scales[static_cast<std::size_t>(at / cols / 32 * across + at % cols / 32)];
      float& value = values[static_cast<std::size_t>(at)];
      const fp8_e4m3 code = fp8_e4m3::from_float(value / scale);
      codes += static_cast<char>(code.bits);
      value = code.to_float() * scale;
    }
    codes_.add(tensor.name, "F8_E4M3", tensor.shape, codes);
    codes_.floats(tensor.name + "_scale_inv", {(rows + 31) / 32, across}, scales);
    numbers_.floats(tensor.name, tensor.shape, values);
  }

  SafetensorsBuilder codes_, numbers_;
  TempFolder quantised_, plain_;
};

TEST_P(Fp8Blocks, AreTheirNumbersInEveryFamilyToTheBit) {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(i * 37 % 256);
  SequenceRunner quantised(quantised_.path(), {}), plain(plain_.path(), {});
  EXPECT_EQ(quantised.logits(ids, 40), plain.logits(ids, 40));
}

INSTANTIATE_TEST_SUITE_P(Tiny, Fp8Blocks,
                         ::testing::Values("llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "mixtral",
                                           "gemma2", "gemma3", "phi3", "smollm3"),
                         [](const auto& test) { return test.param; });

TEST(QuantizedWeights, AreDescribedWithTheActivationsThatStayAsTheyAre) {
  const auto describe = [](const std::string& kind) {
    return model::describe_quantized_weights(
        files::Checkpoint::open(OCTET_SOURCE_DIR "/tests/data/quantized/" + kind));
  };
  EXPECT_NE(describe("fp8_channel").find("F8_E4M3; the activations"), std::string::npos)
      << describe("fp8_channel");
  EXPECT_NE(describe("static").find("activations"), std::string::npos);
  EXPECT_NE(describe("w4a16").find("packed"), std::string::npos);
  EXPECT_EQ(describe("w4a16").find("activations"), std::string::npos);
  EXPECT_EQ(
      model::describe_quantized_weights(files::Checkpoint::open(OCTET_SOURCE_DIR "/tests/data/tiny/llama")),
      "");
}

// A layer "x" of 4 rows and 64 columns, and the checkpoint that holds its weights.
struct Layer {
  files::Checkpoint checkpoint;
  Linear linear;

  static Layer take(const SafetensorsBuilder& tensors, const std::string& config = "{}") {
    const TempFolder folder;
    folder.write("config.json", config);
    folder.write("model.safetensors", tensors.finish());
    files::Checkpoint checkpoint = files::Checkpoint::open(folder.path());
    Linear linear = model::take_linear(checkpoint, "x", 4, 64, false);
    return {std::move(checkpoint), std::move(linear)};
  }
};

SafetensorsBuilder fp8() {
  return SafetensorsBuilder().add("x.weight", "F8_E4M3", {4, 64}, std::string(256, '8'));
}

TEST(QuantizedWeights, MissingAndBadScalesAreNamed) {
  using enum ErrorCode;
  const std::string stated = R"({"quantization_config":{"quant_method":"fp8"}})";
  expect_error(invalid_file, {"x.weight_scale", "missing"}, [&] { Layer::take(fp8(), stated); });
  EXPECT_EQ(Layer::take(fp8()).linear.dtype,
            Dtype::fp8_e4m3);  // where nobody states a quantisation, these are the weights
  for (const float bad : {NAN, INFINITY, -1.0f})
    expect_error(invalid_file, {"x.weight_scale", "scale 2"}, [&] {
      Layer::take(fp8().floats("x.weight_scale", {4, 1}, {1, 1, bad, 1}), stated);
    });
  expect_error(invalid_file, {"x.weight_scale", "shape [3]", "one a row"}, [&] {
    Layer::take(fp8().floats("x.weight_scale", {3}, {1, 1, 1}), stated);
  });
  expect_error(invalid_file, {"x.weight_scale_inv", "1 x 1"}, [&] {
    Layer::take(fp8().floats("x.weight_scale_inv", {2}, {1, 1}), stated);
  });
  expect_error(invalid_file, {"weight_block_size", "multiple of 32"}, [&] {
    Layer::take(fp8().floats("x.weight_scale_inv", {1}, {1}),
                R"({"quantization_config":{"quant_method":"fp8","weight_block_size":[128,48]}})");
  });
  const auto packed = [](std::int64_t words) {
    return SafetensorsBuilder()
        .add("x.weight_packed", "I32", {4, words}, std::string(static_cast<std::size_t>(16 * words), '\0'))
        .floats("x.weight_scale", {4, 2}, std::vector<float>(8, 1.0f));
  };
  EXPECT_EQ(Layer::take(packed(8)).linear.format, WeightFormat::uint4_groups);
  EXPECT_EQ(Layer::take(packed(16)).linear.format, WeightFormat::uint8_groups);
  expect_error(invalid_file, {"x.weight_packed", "[4, 8]", "[4, 16]", "[4, 9]"},
               [&] { Layer::take(packed(9)); });
  expect_error(unsupported, {"x.weight_g_idx", "actorder"},
               [&] { Layer::take(packed(8).add("x.weight_g_idx", "I32", {64}, std::string(256, '\0'))); });
  expect_error(invalid_file, {"x.weight_zero_point", "2 words"},
               [&] { Layer::take(packed(8).add("x.weight_zero_point", "I32", {3}, std::string(12, '\0'))); });
}

std::vector<float> row_of(const Linear& linear, int row) {
  std::vector<float> numbers(static_cast<std::size_t>(linear.cols));
  model::read_linear_row(linear, row, numbers.data());
  return numbers;
}

TEST(QuantizedWeights, RowsOfAFusedMatrixKeepTheirScales) {
  const Layer layer = Layer::take(fp8().floats("x.weight_scale", {4, 1}, {1, 2, 3, 4}));
  const Linear& whole = layer.linear;
  const Linear part = model::take_rows(whole, 2, 2);
  EXPECT_EQ(row_of(part, 0), row_of(whole, 2));
  EXPECT_EQ(row_of(part, 1), row_of(whole, 3));
  EXPECT_NE(row_of(part, 1), row_of(part, 0));
}

TEST(QuantizedWeights, QuantizingAtLoadRoundsToTheNearestCodeOfTheRowsScale) {
  std::vector<float> values(256);
  for (std::size_t i = 0; i < 256; ++i)
    values[i] = std::sin(static_cast<float>(i)) * static_cast<float>(1 + i / 64);
  std::fill(values.begin() + 64, values.begin() + 128, 0.0f);  // a row of zeros stays one
  const Layer layer = Layer::take(SafetensorsBuilder().floats("x.weight", {4, 64}, values));
  const Linear& plain = layer.linear;
  ThreadPool pool(2);
  for (const auto quantization : {model::Quantization::fp8, model::Quantization::int8}) {
    const Linear quantized = model::quantize_linear(plain, quantization, "x", pool);
    EXPECT_EQ(quantized.weight_bytes(), 256 + 4 * 4);
    for (int row = 0; row < 4; ++row) {
      const std::vector<float> exact = row_of(plain, row), found = row_of(quantized, row);
      const float largest = std::abs(*std::max_element(
          exact.begin(), exact.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
      for (std::size_t i = 0; i < 64; ++i) {
        const float step = quantization == model::Quantization::int8
                               ? largest / 127.0f
                               : std::max(std::abs(exact[i]) / 8.0f, largest / 448.0f / 64.0f);
        ASSERT_NEAR(found[i], exact[i], 0.501f * step) << row << " " << i;
      }
    }
  }
  values[200] = INFINITY;
  const Layer infinite = Layer::take(SafetensorsBuilder().floats("x.weight", {4, 64}, values));
  expect_error(ErrorCode::invalid_file, {"layer x", "row 3", "not finite"},
               [&] { model::quantize_linear(infinite.linear, model::Quantization::fp8, "layer x", pool); });
}

}  // namespace
}  // namespace octet::tests
