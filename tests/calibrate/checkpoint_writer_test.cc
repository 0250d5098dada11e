#include "calibrate/checkpoint_writer.h"

#include <filesystem>
#include <set>

#include "calibrate/scale_tensors.h"
#include "files/expect_error.h"
#include "files/file_output.h"
#include "files/json_edit.h"
#include "files/mapped_file.h"
#include "files/safetensors_builder.h"
#include "files/safetensors_writer.h"
#include "model/kv_scale_loading.h"
#include "model/tiny_checkpoint.h"

namespace octet::tests {
namespace {

namespace fs = std::filesystem;
using namespace calibrate;
using files::Checkpoint;

std::string text_of(const std::string& path) { return files::read_text_file(path, 1 << 24); }

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

// Scales that BF16 holds exactly: 1/4, 1/2, 3/4, …
kv::KvScales scales(const model::ModelConfig& config, kv::ScaleStrategy strategy, bool with_q = false) {
  kv::KvScales found;
  found.strategy = strategy;
  float next = 0;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const auto values = [&](int heads) {
      std::vector<float> some;
      if (strategy == kv::ScaleStrategy::tensor) next += 0.25f;
      for (int head = 0; head < heads; ++head)
        some.push_back(strategy == kv::ScaleStrategy::tensor ? next : next += 0.25f);
      return some;
    };
    found.layers.push_back({values(config.num_kv_heads), values(config.num_kv_heads), {}});
    if (with_q) found.layers.back().q = values(config.num_heads);
  }
  return found;
}

class CheckpointWriter : public ::testing::Test {
 protected:
  CheckpointWriter() : CheckpointWriter(TinyOptions{.bfloat16 = true}) {}
  explicit CheckpointWriter(const TinyOptions& options)
      : source_(write_tiny_llama(folder_.file("tiny"), options)),
        output_{.directory = folder_.file("out"), .provenance = {.observer = "static_minmax"}} {
    files::write_file(source_ + "/tokenizer.json", std::string_view("{}"));
    files::write_file(source_ + "/pytorch_model.bin", std::string_view("large"));
    files::write_file(source_ + "/.gitattributes", std::string_view("x"));
    fs::create_directory(source_ + "/original");
  }

  // Writes, and opens what was written.
  Checkpoint write(kv::ScaleStrategy strategy, bool with_q = false) {
    const Checkpoint source = Checkpoint::open(source_);
    config_ = model::read_model_config(source.config());
    write_calibrated_checkpoint(source, config_, scales(config_, strategy, with_q), output_);
    return Checkpoint::open(output_.directory);
  }

  TempFolder folder_;
  std::string source_;
  CheckpointOutput output_;
  model::ModelConfig config_;
};

TEST_F(CheckpointWriter, IsACompleteCheckpointWithTheSameWeights) {
  for (const auto strategy : {kv::ScaleStrategy::tensor, kv::ScaleStrategy::attn_head}) {
    const Checkpoint written = write(strategy);
    EXPECT_EQ(names_in(output_.directory),
              (std::set<std::string>{"config.json", "tokenizer.json", "model.safetensors.index.json",
                                     kWeightsFile, kScalesFile}));
    EXPECT_EQ(text_of(output_.directory + "/" + kWeightsFile), text_of(source_ + "/model.safetensors"));
    EXPECT_TRUE(fs::equivalent(output_.directory + "/" + kWeightsFile, source_ + "/model.safetensors"));
    EXPECT_FALSE(fs::equivalent(output_.directory + "/tokenizer.json", source_ + "/tokenizer.json"));

    const model::KvScaleReport report = model::load_kv_scales(written, config_);
    const kv::KvScales expected = scales(config_, strategy);
    ASSERT_TRUE(report.scales);
    EXPECT_EQ(report.scales->strategy, strategy);
    EXPECT_EQ(report.scales->fingerprint(), expected.fingerprint());
    EXPECT_EQ(report.requested_dtype, KvDtype::fp8_e4m3);
    EXPECT_TRUE(report.warnings.empty());
    const files::TensorView& k = written.at("model.layers.1.self_attn.k_scale");
    EXPECT_EQ(k.dtype, files::TensorDtype::BF16);
    EXPECT_EQ(k.shape, strategy == kv::ScaleStrategy::tensor ? std::vector<std::int64_t>{1}
                                                             : (std::vector<std::int64_t>{2, 1, 1}));
    EXPECT_EQ(written.find("model.layers.1.self_attn.k_zero_point"), nullptr);
    EXPECT_EQ(written.find("model.layers.1.self_attn.q_scale"), nullptr);
    output_.replace = true;
  }
}

TEST_F(CheckpointWriter, ConfigSaysWhatCompressedTensorsWouldSay) {
  output_.provenance = {"percentile", R"({"percentile":99.9})"};
  const Checkpoint written = write(kv::ScaleStrategy::attn_head, /*with_q=*/true);
  // The members and values of the reference tool's own output, but for what this calibration did otherwise.
  const files::JsonValue golden =
      files::JsonValue::read_file(OCTET_SOURCE_DIR "/tests/golden/calibration.json").at("quantization_config");
  const files::JsonValue found = written.config().at("quantization_config");
  EXPECT_EQ(found.keys(), golden.keys());
  std::string expected = golden.dump();
  for (std::size_t at; (at = expected.find("\"static_minmax\"")) != std::string::npos;)
    expected.replace(at, 15, "\"percentile\"");
  for (std::size_t at; (at = expected.find("\"observer_kwargs\":{}")) != std::string::npos;)
    expected.replace(at, 20, "\"observer_kwargs\":{\"percentile\":99.9}");
  EXPECT_EQ(found.dump(), expected);
  EXPECT_EQ(written.config().at("num_hidden_layers").as_int(), 2);

  const files::TensorView& zero = written.at("model.layers.0.self_attn.q_zero_point");
  EXPECT_EQ(zero.dtype, files::TensorDtype::F8_E4M3);
  EXPECT_EQ(zero.shape, (std::vector<std::int64_t>{4, 1, 1}));
  EXPECT_EQ(written.at("model.layers.0.self_attn.q_scale").shape, (std::vector<std::int64_t>{4, 1, 1}));

  output_.replace = true;
  const files::JsonValue cache_only = write(kv::ScaleStrategy::tensor).config().at("quantization_config");
  EXPECT_EQ(cache_only.at("config_groups").dump(), "{}");
  EXPECT_EQ(cache_only.at("kv_cache_scheme").at("strategy").as_string(), "tensor");
}

TEST_F(CheckpointWriter, ScalesOnlyFitsBesideTheWeights) {
  output_.scales_only = true;
  const Checkpoint source = Checkpoint::open(source_);
  config_ = model::read_model_config(source.config());
  write_calibrated_checkpoint(source, config_, scales(config_, kv::ScaleStrategy::tensor), output_);
  EXPECT_EQ(names_in(output_.directory),
            (std::set<std::string>{"config.json", "model.safetensors.index.json", kScalesFile}));
  files::copy_file(source_ + "/model.safetensors", output_.directory + "/" + kWeightsFile);
  EXPECT_TRUE(model::load_kv_scales(Checkpoint::open(output_.directory), config_).scales);
}

TEST_F(CheckpointWriter, CalibratesACalibratedCheckpointAnew) {
  write(kv::ScaleStrategy::attn_head, /*with_q=*/true);
  source_ = output_.directory;
  output_.directory = folder_.file("again");
  const Checkpoint again = write(kv::ScaleStrategy::tensor);
  EXPECT_EQ(model::load_kv_scales(again, config_).scales->strategy, kv::ScaleStrategy::tensor);
  EXPECT_EQ(again.find("model.layers.0.self_attn.q_scale"), nullptr);
}

TEST_F(CheckpointWriter, RefusesWhatWouldContradictTheScales) {
  const Checkpoint source = Checkpoint::open(source_);
  files::write_file(source_ + "/hf_quant_config.json", std::string_view("{}"));
  expect_error(ErrorCode::unsupported, {"hf_quant_config.json"}, [&] { check_output(source, output_); });
  const std::string mixed = write_tiny_llama(
      folder_.file("mixed"), {.extra_tensors = {{"model.layers.0.self_attn.k_scale", {1}, {0.5f}},
                                                {"model.layers.0.self_attn.v_scale", {1}, {0.5f}}}});
  expect_error(ErrorCode::unsupported, {"model.layers.0.self_attn.k_scale", "already"},
               [&] { check_output(Checkpoint::open(mixed), output_); });
}

TEST_F(CheckpointWriter, ReplacesNothingButWhatItWrote) {
  write(kv::ScaleStrategy::tensor);
  const Checkpoint source = Checkpoint::open(source_);
  expect_error(ErrorCode::invalid_argument, {"out", "--force"}, [&] { check_output(source, output_); });
  output_.replace = true;
  check_output(source, output_);
  output_.directory = folder_.path();  // somebody's folder
  expect_error(ErrorCode::invalid_argument, {"no calibrated checkpoint"},
               [&] { check_output(source, output_); });
  output_.directory = source_;
  expect_error(ErrorCode::invalid_argument, {"the checkpoint itself"}, [&] { check_output(source, output_); });
}

TEST_F(CheckpointWriter, ShardsKeepTheirNames) {
  const Checkpoint single = Checkpoint::open(source_);
  std::vector<files::OwnedTensor> shards[2];
  std::string map;
  for (const files::TensorView& tensor : single.tensors()) {
    const int shard = tensor.name.find("layers.1") != std::string::npos;
    shards[shard].push_back(
        {tensor.name, tensor.dtype, tensor.shape, {tensor.data.begin(), tensor.data.end()}});
    map += (map.empty() ? "" : ",") + files::json_string(tensor.name) + ":\"part-" + std::to_string(shard) +
           ".safetensors\"";
  }
  for (int shard : {0, 1})
    files::write_file(source_ + "/part-" + std::to_string(shard) + ".safetensors",
                      files::safetensors_bytes(shards[shard], {}));
  files::write_file(source_ + "/model.safetensors.index.json",
                    "{\"metadata\":{},\"weight_map\":{" + map + "}}");
  fs::remove(source_ + "/model.safetensors");
  const Checkpoint written = write(kv::ScaleStrategy::tensor);
  EXPECT_TRUE(names_in(output_.directory).contains("part-1.safetensors"));
  EXPECT_TRUE(written.at("model.layers.1.self_attn.k_proj.weight").file.ends_with("part-1.safetensors"));
  const auto index = files::JsonValue::read_file(output_.directory + "/model.safetensors.index.json");
  EXPECT_EQ(index.at("metadata").at("total_size").as_int(), written.weight_bytes());
}

TEST_F(CheckpointWriter, ScalesHaveTheDtypeOfTheWeights) {
  const Checkpoint source = Checkpoint::open(source_);
  config_ = model::read_model_config(source.config());
  const auto dtype = [&](Dtype weights, float scale) {
    model::ModelConfig config = config_;
    config.dtype = weights;
    kv::KvScales some = scales(config, kv::ScaleStrategy::tensor);
    some.layers[1].v.assign(2, scale);
    return scale_tensors(some, config).front().dtype;
  };
  EXPECT_EQ(dtype(Dtype::bfloat16, 1e-6f), files::TensorDtype::BF16);
  EXPECT_EQ(dtype(Dtype::float32, 1), files::TensorDtype::F32);
  EXPECT_EQ(dtype(Dtype::float16, 1), files::TensorDtype::F16);
  EXPECT_EQ(dtype(Dtype::float16, 1e-6f), files::TensorDtype::F32);  // float16 would be off by percents
}

}  // namespace
}  // namespace octet::tests
