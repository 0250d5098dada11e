#include "model/kv_scale_loading.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "files/expect_error.h"
#include "files/safetensors_builder.h"

namespace octet::model {
namespace {

using tests::expect_error;
using tests::SafetensorsBuilder;

constexpr int kLayers = 2;
constexpr int kKvHeads = 2;
constexpr int kHeads = 4;

ModelConfig config() {
  ModelConfig c;
  c.num_layers = kLayers;
  c.num_kv_heads = kKvHeads;
  c.num_heads = kHeads;
  return c;
}

std::string name(int layer, const std::string& rest) {
  return "model.layers." + std::to_string(layer) + ".self_attn." + rest;
}

struct Files {
  SafetensorsBuilder tensors;
  std::string quantization;  // the JSON of quantization_config
  std::string hf_quant_config;

  KvScaleReport with(KvScaleReport (*action)(const files::Checkpoint&, const ModelConfig&)) const {
    const tests::TempFolder folder;
    folder.write("config.json", quantization.empty() ? "{}" : "{\"quantization_config\":" + quantization + "}");
    if (!hf_quant_config.empty()) folder.write("hf_quant_config.json", hf_quant_config);
    folder.write("model.safetensors", tensors.finish());
    return action(files::Checkpoint::open(folder.path()), config());
  }
  KvScaleReport load() const { return with(load_kv_scales); }
  KvScaleReport examine() const { return with(examine_kv_scales); }

  void refused(std::initializer_list<std::string_view> words, ErrorCode code = ErrorCode::invalid_file) const {
    expect_error(code, words, [&] { load(); });
  }
};

// k and v scales of the value on all layers.
Files plain(float value = 0.5f) {
  Files files;
  for (int layer = 0; layer < kLayers; ++layer) {
    files.tensors.floats(name(layer, "k_scale"), {1}, {value});
    files.tensors.floats(name(layer, "v_scale"), {1}, {value});
  }
  return files;
}

// The same, but layer 1's k_scale is this tensor.
Files with_k(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  Files files;
  files.tensors.floats(name(0, "k_scale"), {1}, {0.5f}).floats(name(0, "v_scale"), {1}, {0.5f});
  files.tensors.floats(name(1, "k_scale"), shape, values).floats(name(1, "v_scale"), {1}, {0.5f});
  return files;
}

TEST(KvScales, NoneIsNoError) {
  Files files;
  files.tensors.bfloat16s("model.norm.weight", {1}, {1});
  const KvScaleReport report = files.load();
  EXPECT_FALSE(report.scales);
  EXPECT_FALSE(report.requested_dtype);
  EXPECT_TRUE(report.findings.empty());
  EXPECT_TRUE(report.warnings.empty());
  EXPECT_EQ(report.quant_method, "");
}

TEST(KvScales, EverySpellingIsRead) {
  const std::pair<const char*, const char*> spellings[] = {{"k_scale", "v_scale"},
                                                           {"attn.k_scale", "attn.v_scale"},
                                                           {"k_proj.k_scale", "v_proj.v_scale"},
                                                           {"qkv_proj.k_scale", "qkv_proj.v_scale"},
                                                           {"k_cache.scale", "v_cache.scale"},
                                                           {"k_proj.output_scale", "v_proj.output_scale"}};
  for (const auto& [k, v] : spellings) {
    Files files;
    for (int layer = 0; layer < kLayers; ++layer) {
      files.tensors.floats(name(layer, k), {1}, {0.25f + static_cast<float>(layer)});
      files.tensors.floats(name(layer, v), {}, {2.5f});
    }
    const KvScaleReport report = files.load();
    ASSERT_TRUE(report.scales) << k;
    EXPECT_EQ(report.scales->strategy, kv::ScaleStrategy::tensor);
    ASSERT_EQ(report.scales->layers.size(), 2u);
    EXPECT_EQ(report.scales->layers[1].k, (std::vector<float>{1.25f, 1.25f})) << k;
    EXPECT_EQ(report.scales->layers[0].v, (std::vector<float>{2.5f, 2.5f})) << v;
    EXPECT_TRUE(report.scales->layers[0].q.empty());
    ASSERT_EQ(report.findings.size(), 4u);
    EXPECT_EQ(report.findings[0].tensor, name(0, k));
    EXPECT_EQ(report.findings[0].which, 'k');
    EXPECT_EQ(report.findings[3].which, 'v');
    EXPECT_EQ(report.findings[3].layer, 1);
    EXPECT_TRUE(report.findings[3].used);
  }
}

TEST(KvScales, OldKvScaleServesBoth) {
  Files files;
  for (int layer = 0; layer < kLayers; ++layer) files.tensors.floats(name(layer, "kv_scale"), {}, {0.75f});
  const KvScaleReport report = files.load();
  EXPECT_EQ(report.scales->layers[1].k, report.scales->layers[1].v);
  EXPECT_EQ(report.scales->layers[1].v, (std::vector<float>{0.75f, 0.75f}));
  ASSERT_EQ(report.findings.size(), 2u);
  EXPECT_TRUE(report.findings[0].used);
  EXPECT_EQ(report.findings[0].note, "for k and v");
}

TEST(KvScales, TheFirstSpellingCounts) {
  Files files = plain(0.5f);
  for (int layer = 0; layer < kLayers; ++layer)
    files.tensors.floats(name(layer, "attn.k_scale"), {1}, {9}).floats(name(layer, "kv_scale"), {1}, {8});
  const KvScaleReport report = files.load();
  EXPECT_EQ(report.scales->layers[0].k, (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(report.scales->layers[0].v, (std::vector<float>{0.5f, 0.5f}));
  int unused = 0;
  for (const ScaleFinding& finding : report.findings) unused += !finding.used;
  EXPECT_EQ(unused, 4);
  // Unused, and checked all the same.
  files.tensors.floats("model.layers.0.self_attn.k_cache.scale", {1}, {-1});
  files.refused({"k_cache.scale", "-1"});
}

TEST(KvScales, PerHeadInEveryDtype) {
  Files files;
  files.tensors.bfloat16s(name(0, "k_scale"), {2, 1, 1}, {0.5f, 0.25f});
  files.tensors.float16s(name(0, "v_scale"), {2}, {2.0f, 4.0f});
  files.tensors.floats(name(1, "k_scale"), {2, 1, 1}, {1.5f, 2.5f});
  files.tensors.floats(name(1, "v_scale"), {1, 2}, {3.5f, 4.5f});
  const KvScaleReport report = files.load();
  EXPECT_EQ(report.scales->strategy, kv::ScaleStrategy::attn_head);
  EXPECT_EQ(report.scales->layers[0].k, (std::vector<float>{0.5f, 0.25f}));
  EXPECT_EQ(report.scales->layers[0].v, (std::vector<float>{2.0f, 4.0f}));
  EXPECT_EQ(report.scales->layers[1].k, (std::vector<float>{1.5f, 2.5f}));
  EXPECT_EQ(report.scales->layers[1].v, (std::vector<float>{3.5f, 4.5f}));
  EXPECT_EQ(report.findings[0].values, (std::vector<float>{0.5f, 0.25f}));
}

TEST(KvScales, ValuesThatNoScaleCanHave) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad :
       {std::nanf(""), infinity, -infinity, 0.0f, -0.0f, -0.5f, 0x1p-41f, 0x1p41f, 1e27f, -3.5e11f, 1e-42f})
    with_k({1}, {bad}).refused({"model.safetensors: tensor model.layers.1.self_attn.k_scale", "2^-40 to 2^40"});
  EXPECT_NO_THROW(with_k({1}, {0x1p-40f}).load());
  EXPECT_NO_THROW(with_k({1}, {0x1p40f}).load());
  with_k({2, 1, 1}, {1, 0}).refused({"layers.1.self_attn.k_scale", "head 1", "is 0"});
}

TEST(KvScales, WrongCountsShapesAndDtypes) {
  with_k({3}, {1, 1, 1}).refused({"layers.1.self_attn.k_scale", "[2, 1, 1]", "[3]"});
  with_k({4, 1, 1}, {1, 1, 1, 1}).refused({"layers.1.self_attn.k_scale", "[4, 1, 1]"});
  with_k({0}, {}).refused({"layers.1.self_attn.k_scale", "[0]"});
  with_k({2, 2}, {1, 1, 1, 1}).refused({"layers.1.self_attn.k_scale", "[2, 2]"});
  Files files = with_k({1}, {1});
  files.tensors.add(name(0, "k_cache.scale"), "I32", {1}, std::string(4, '\1'));
  files.refused({"layers.0.self_attn.k_cache.scale", "F32, F16 or BF16", "I32"});
}

TEST(KvScales, AllLayersOrNone) {
  Files files;
  files.tensors.floats(name(0, "k_scale"), {1}, {1}).floats(name(0, "v_scale"), {1}, {1});
  files.refused({"tensor model.layers.0.self_attn.k_scale", "layer 1 has no KV scales"});
  Files beyond = plain();
  beyond.tensors.floats(name(2, "k_scale"), {1}, {1});
  beyond.refused({"model.layers.2.self_attn.k_scale", "2 layers"});
}

TEST(KvScales, KWithV) {
  Files k_only;
  for (int layer = 0; layer < kLayers; ++layer) k_only.tensors.floats(name(layer, "k_scale"), {1}, {1});
  k_only.refused({"model.layers.0.self_attn.k_scale", "no v scale"});
  Files v_only;
  v_only.tensors.floats(name(0, "v_scale"), {1}, {1});
  v_only.refused({"model.layers.0.self_attn.v_scale", "no k scale"});
}

TEST(KvScales, ZeroPoints) {
  Files zeros = plain();
  zeros.tensors.floats(name(0, "k_zero_point"), {1}, {-0.0f});
  zeros.tensors.add(name(0, "v_zero_point"), "I8", {2, 1, 1}, std::string(2, '\0'));
  zeros.tensors.add(name(1, "k_proj.output_zero_point"), "F8_E4M3", {1}, "\x80");
  EXPECT_TRUE(zeros.load().scales);
  EXPECT_TRUE(zeros.load().warnings.empty());
  for (const char* spelling :
       {"k_zero_point", "attn.v_zero_point", "v_proj.output_zero_point", "k_cache.zero_point"}) {
    Files files = plain();
    files.tensors.add(name(1, spelling), "I8", {1}, "\1");
    files.refused({"model.layers.1.self_attn", spelling, "expected zeros"});
  }
}

TEST(KvScales, GoodQScalesAreKeptButNotNeeded) {
  Files files = plain();
  files.tensors.floats(name(0, "q_scale"), {4, 1, 1}, {1, 2, 3, 4});
  files.tensors.bfloat16s(name(1, "attn.q_scale"), {1}, {5});
  const KvScaleReport report = files.load();
  EXPECT_EQ(report.scales->layers[0].q, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(report.scales->layers[1].q, (std::vector<float>{5, 5, 5, 5}));
  EXPECT_TRUE(report.warnings.empty());
  EXPECT_EQ(report.findings[2].which, 'q');
  EXPECT_FALSE(report.findings[2].used);
}

TEST(KvScales, BadQScalesAreAWarning) {
  for (const float bad : {1.1e27f, 0.0f, -3.5e11f, std::nanf("")}) {
    Files files = plain();
    files.tensors.floats(name(0, "q_scale"), {4, 1, 1}, {1, 2, bad, 4});
    files.tensors.floats(name(1, "q_scale"), {2, 1, 1}, {1, 2});
    const KvScaleReport report = files.load();
    ASSERT_TRUE(report.scales);
    EXPECT_TRUE(report.scales->layers[0].q.empty());
    EXPECT_TRUE(report.scales->layers[1].q.empty());
    ASSERT_EQ(report.warnings.size(), 1u);
    EXPECT_NE(report.warnings[0].find("model.layers.0.self_attn.q_scale: the scale of head 2"),
              std::string::npos);
    EXPECT_NE(report.warnings[0].find("1 more"), std::string::npos);
    EXPECT_NE(report.findings[5].note.find("[2, 1, 1]"), std::string::npos) << report.findings[5].note;
  }
  Files shifted = plain();
  shifted.tensors.floats(name(0, "q_scale"), {1}, {1}).add(name(0, "q_zero_point"), "I8", {1}, "\1");
  EXPECT_TRUE(shifted.load().scales->layers[0].q.empty());
  EXPECT_EQ(shifted.load().warnings.size(), 1u);
}

TEST(KvScales, OnlyQScalesAreNoKvScales) {
  Files files;
  files.tensors.floats(name(0, "q_scale"), {1}, {1});
  EXPECT_FALSE(files.load().scales);
  ASSERT_EQ(files.load().findings.size(), 1u);
  EXPECT_EQ(files.load().findings[0].note, "not used: there are no k and v scales");
  Files with_kv = plain();
  with_kv.tensors.floats(name(0, "q_scale"), {1}, {1});
  for (const ScaleFinding& finding : with_kv.load().findings)
    EXPECT_EQ(finding.note, finding.which == 'q' ? "needed only where attention_math is not fp32" : "");
}

TEST(KvScales, UnknownSpellingsAreAWarning) {
  Files files = plain();
  files.tensors.floats(name(0, "kv_cache_scaling_factor"), {1}, {1});
  ASSERT_EQ(files.load().warnings.size(), 1u);
  EXPECT_NE(files.load().warnings[0].find("kv_cache_scaling_factor"), std::string::npos);
  for (const char* elsewhere :
       {"model.layers.x.self_attn.k_scale", "model.layers.01.self_attn.k_scale", "k_scale",
        "model.layers.99999999999.self_attn.k_scale", "model.layers.0.attention.kv_scale",
        "transformer.layers.0.attention.kv_cache_scaling_factor", "model.layers.0.attn.v_cache.scale"}) {
    Files other;
    other.tensors.floats(elsewhere, {1}, {1});
    EXPECT_TRUE(other.load().findings.empty());
    ASSERT_EQ(other.load().warnings.size(), 1u) << elsewhere;
    EXPECT_NE(other.load().warnings[0].find(elsewhere), std::string::npos) << other.load().warnings[0];
  }
  Files others;
  others.tensors.floats("model.layers.0.mlp.block_scale", {1}, {1}).floats("model.k_cache", {1}, {1});
  EXPECT_TRUE(others.load().warnings.empty());
}

TEST(KvScales, ExaminingKeepsEverythingThatWasFound) {
  Files files = with_k({1}, {0});
  files.tensors.floats(name(0, "q_scale"), {1}, {-1});
  const KvScaleReport report = files.examine();
  ASSERT_TRUE(report.error);
  EXPECT_NE(std::string(report.error->what()).find("layers.1.self_attn.k_scale"), std::string::npos);
  EXPECT_FALSE(report.scales);
  ASSERT_EQ(report.findings.size(), 5u);
  EXPECT_FALSE(report.findings[3].used);
  EXPECT_EQ(report.warnings.size(), 1u);
}

std::string scheme(const std::string& changed = "") {
  std::string text = R"({"quant_method":"compressed-tensors","kv_cache_scheme":{)";
  const auto add = [&](const std::string& key, const std::string& value) {
    if (changed.find("\"" + key + "\"") == std::string::npos)
      text.append("\"").append(key).append("\":").append(value).append(",");
  };
  add("num_bits", "8");
  add("type", "\"float\"");
  add("dynamic", "false");
  add("symmetric", "true");
  add("strategy", "\"tensor\"");
  add("observer", "\"minmax\"");
  return text + (changed.empty() ? "\"group_size\":null" : changed) + "}}";
}

TEST(QuantizationConfig, SchemeAsksForFp8) {
  Files files = plain();
  files.quantization = scheme();
  const KvScaleReport report = files.load();
  EXPECT_EQ(report.requested_dtype, KvDtype::fp8_e4m3);
  EXPECT_EQ(report.quant_method, "compressed-tensors");
  EXPECT_TRUE(report.warnings.empty());
  Files without_scales;
  without_scales.quantization = scheme();
  EXPECT_EQ(without_scales.load().requested_dtype, KvDtype::fp8_e4m3);
  EXPECT_FALSE(without_scales.load().scales);
}

TEST(QuantizationConfig, SchemeThatIsNotRunIsNamed) {
  const std::pair<const char*, const char*> bad[] = {{R"("num_bits":4)", "4-bit float"},
                                                     {R"("type":"int")", "8-bit int"},
                                                     {R"("dynamic":true)", "dynamic"},
                                                     {R"("dynamic":"local")", "dynamic"},
                                                     {R"("symmetric":false)", "symmetric"},
                                                     {R"("strategy":"channel")", "strategy"},
                                                     {R"("strategy":"token")", "strategy"},
                                                     {R"("group_size":16)", "group_size"},
                                                     {R"("block_structure":[1,1])", "block_structure"}};
  for (const auto& [changed, word] : bad) {
    Files files = plain();
    files.quantization = scheme(changed);
    files.refused({"config.json: quantization_config.kv_cache_scheme", word}, ErrorCode::unsupported);
  }
  Files broken = plain();
  broken.quantization = R"({"quant_method":"compressed-tensors","kv_cache_scheme":{"type":"float"}})";
  broken.refused({"kv_cache_scheme.num_bits", "missing"});
}

TEST(QuantizationConfig, OtherStrategyThanStatedIsAWarning) {
  Files files = plain();
  files.quantization = scheme(R"("strategy":"attn_head")");
  EXPECT_TRUE(files.load().scales);
  EXPECT_EQ(files.load().warnings.size(), 1u);
}

TEST(QuantizationConfig, TheGoldenOneIsAccepted) {
  std::ifstream in(std::string(OCTET_SOURCE_DIR) + "/tests/golden/calibration.json");
  std::stringstream text;
  text << in.rdbuf();
  Files files = plain();
  files.quantization = files::JsonValue::parse(text.str(), "calibration.json").at("quantization_config").dump();
  EXPECT_EQ(files.load().requested_dtype, KvDtype::fp8_e4m3);
}

TEST(QuantizationConfig, GroupsThatTouchLinearLayersAreRefused) {
  const auto grouped = [](const std::string& group) {
    Files files = plain();
    files.quantization = R"({"quant_method":"compressed-tensors","config_groups":{"g":)" + group + "}}";
    return files;
  };
  const auto code = ErrorCode::unsupported;
  grouped(R"({"targets":["Linear"],"weights":{"num_bits":4,"type":"float"}})")
      .refused({"config_groups.g.weights.num_bits", "4 of type int"}, code);
  grouped(R"({"targets":["Linear"],"weights":{"num_bits":8,"type":"int","strategy":"token"}})")
      .refused({"weights.strategy", "token", "channel"}, code);
  grouped(R"({"targets":["Linear"],"format":"nvfp4-pack-quantized","weights":{"num_bits":8}})")
      .refused({"config_groups.g.format", "nvfp4", "pack-quantized"}, code);
  grouped(R"({"targets":["Linear"],"weights":{"num_bits":8},"input_activations":{"num_bits":4}})")
      .refused({"input_activations.num_bits", "4"}, code);
  EXPECT_NO_THROW(
      grouped(R"({"targets":["Linear"],"weights":{"num_bits":8},"input_activations":{"num_bits":8}})").load());
  grouped(R"({"targets":["Linear"],"weights":null,"input_activations":{"num_bits":8}})")
      .refused({"config_groups.g.input_activations", "Linear"}, code);
  grouped(R"(["Linear"])").refused({"config_groups.g"}, code);
  grouped(R"({"targets":["re:.*k_proj"],"input_activations":{"num_bits":8}})").refused({"k_proj"}, code);
  grouped(R"({"input_activations":{"num_bits":8}})").refused({"config_groups.g.targets", "missing"});
  EXPECT_NO_THROW(grouped(R"({"targets":["re:.*self_attn$"],"input_activations":{"num_bits":8}})").load());
  EXPECT_NO_THROW(
      grouped(R"({"targets":["re:.*k_proj","re:.*v_proj$"],"output_activations":{"num_bits":8}})").load());
  Files sparse = plain();
  sparse.quantization =
      R"({"quant_method":"compressed-tensors","sparsity_config":{"format":"sparse-24-bitmask"}})";
  sparse.refused({"sparsity_config"}, code);
}

TEST(QuantizationConfig, Fp8AndModelOpt) {
  const auto requested = [](const std::string& quantization) {
    Files files = plain();
    files.quantization = quantization;
    return files.load().requested_dtype;
  };
  EXPECT_EQ(requested(R"({"quant_method":"fp8","kv_cache_scheme":"static"})"), KvDtype::fp8_e4m3);
  EXPECT_EQ(requested(R"({"quant_method":"fp8","kv_cache_quant_algo":"FP8"})"), KvDtype::fp8_e4m3);
  EXPECT_EQ(requested(R"({"quant_method":"fp8"})"), std::nullopt);
  EXPECT_EQ(
      requested(
          R"({"quant_method":"modelopt","kv_cache_scheme":{"dynamic":false,"num_bits":8,"type":"float"}})"),
      KvDtype::fp8_e4m3);
  Files int8 = plain();
  int8.quantization = R"({"quant_method":"modelopt","kv_cache_quant_algo":"INT8"})";
  int8.refused({"kv_cache_quant_algo", "INT8", "FP8"}, ErrorCode::unsupported);
}

TEST(QuantizationConfig, HfQuantConfigBesideIt) {
  Files files = plain();
  files.hf_quant_config =
      R"({"producer":{"name":"modelopt"},"quantization":{"quant_algo":null,"kv_cache_quant_algo":"FP8"}})";
  EXPECT_EQ(files.load().requested_dtype, KvDtype::fp8_e4m3);
  EXPECT_EQ(files.load().quant_method, "modelopt");
  files.hf_quant_config = R"({"quantization":{"kv_cache_quant_algo":"NVFP4"}})";
  files.refused({"hf_quant_config.json: quantization.kv_cache_quant_algo", "NVFP4"}, ErrorCode::unsupported);
  files.hf_quant_config = "{";
  files.refused({"hf_quant_config.json", "invalid JSON"});
}

TEST(QuantizationConfig, WeightsThatAreNotReadAndUnknownMethodsAreRefused) {
  Files scaled = plain();
  scaled.quantization = R"({"quant_method":"fp8"})";
  scaled.tensors.floats("model.layers.0.mlp.up_proj.weight_scale_2", {1}, {1});
  scaled.refused({"up_proj.weight_scale_2", "quantised so by fp8"}, ErrorCode::unsupported);
  Files four = plain();
  four.quantization = R"({"quant_method":"modelopt"})";
  four.tensors.add("model.layers.0.mlp.up_proj.weight", "U8", {1}, "\1");
  four.refused({"up_proj.weight", "quantised so by modelopt"}, ErrorCode::unsupported);
  Files algorithm = plain();
  algorithm.quantization = R"({"quant_method":"modelopt","quant_algo":"NVFP4"})";
  algorithm.refused({"quant_algo", "NVFP4", "FP8"}, ErrorCode::unsupported);
  Files awq = plain();
  awq.quantization = R"({"quant_method":"awq","bits":4})";
  awq.refused({"quantization_config.quant_method", "awq", "compressed-tensors"}, ErrorCode::unsupported);
  Files unnamed = plain();
  unnamed.quantization = "{}";
  unnamed.refused({"quantization_config.quant_method", "missing"});
}

}  // namespace
}  // namespace octet::model
