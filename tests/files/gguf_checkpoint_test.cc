// A GGUF file in the terms of a Hugging Face checkpoint.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <utility>

#include "expect_error.h"
#include "files/checkpoint.h"
#include "gguf_builder.h"
#include "safetensors_builder.h"

namespace octet::files {
namespace {

using tests::expect_error;
using tests::GgufBuilder;
using tests::SafetensorsBuilder;
using tests::TempFolder;

constexpr std::uint32_t kF32 = 0, kQ8 = 8;

// The metadata that every architecture has.
GgufBuilder metadata(const std::string& architecture) {
  GgufBuilder builder;
  builder.text("general.architecture", architecture)
      .number(architecture + ".embedding_length", 32)
      .number(architecture + ".feed_forward_length", 64)
      .number(architecture + ".block_count", 1)
      .number(architecture + ".attention.head_count", 4)
      .number(architecture + ".attention.head_count_kv", 2)
      .number(architecture + ".context_length", 128)
      .real(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f)
      .number("tokenizer.ggml.eos_token_id", 3)
      .number("tokenizer.ggml.eot_token_id", 2);
  return builder;
}

std::string floats(int count, float first = 0.0f) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return SafetensorsBuilder::bytes_of(values);
}

GgufBuilder model(const std::string& architecture) {
  GgufBuilder builder = metadata(architecture);
  builder.tensor("token_embd.weight", kF32, {5, 32}, floats(160));
  return builder;
}

class GgufCheckpointTest : public testing::Test {
 protected:
  Checkpoint open(const GgufBuilder& builder) {
    return Checkpoint::open(folder_.write("model.gguf", builder.finish()));
  }
  void refused(ErrorCode code, std::initializer_list<std::string_view> words, const GgufBuilder& builder) {
    expect_error(code, words, [&] { open(builder); });
  }
  TempFolder folder_;
};

TEST_F(GgufCheckpointTest, MetadataBecomesTheConfigOfTransformers) {
  const Checkpoint checkpoint = open(model("llama").real("llama.rope.freq_base", 5e5f));
  EXPECT_TRUE(checkpoint.is_gguf());
  const JsonValue& config = checkpoint.config();
  EXPECT_EQ(config.at("architectures").dump(), R"(["LlamaForCausalLM"])");
  EXPECT_EQ(config.at("model_type").as_string(), "llama");
  EXPECT_EQ(config.at("hidden_size").as_int(), 32);
  EXPECT_EQ(config.at("head_dim").as_int(), 8);
  EXPECT_EQ(config.at("num_key_value_heads").as_int(), 2);
  EXPECT_EQ(config.at("max_position_embeddings").as_int(), 128);
  EXPECT_EQ(config.at("vocab_size").as_int(), 5);
  EXPECT_EQ(config.at("rope_theta").as_double(), 5e5);
  EXPECT_EQ(config.at("dtype").as_string(), "float32");
  EXPECT_EQ(config.at("eos_token_id").dump(), "[3,2]");
  EXPECT_TRUE(config.at("tie_word_embeddings").as_bool());
  EXPECT_FALSE(config.at("attention_bias").as_bool());
  EXPECT_FALSE(open(model("llama").tensor("output.weight", kF32, {5, 32}, floats(160)))
                   .config()
                   .at("tie_word_embeddings")
                   .as_bool());
}

TEST_F(GgufCheckpointTest, TheFolderOfOneFileIsThatFile) {
  folder_.write("model.gguf", model("llama").finish());
  EXPECT_EQ(Checkpoint::open(folder_.path()).at("model.embed_tokens.weight").shape,
            (std::vector<std::int64_t>{5, 32}));
}

TEST_F(GgufCheckpointTest, RotaryPairsOfLlamaAreTakenApart) {
  // Row r of the file holds r alone. A head has rows 0..7: pair j is rows 2j and 2j + 1.
  std::string rows;
  for (int r = 0; r < 32; ++r) rows += std::string(2, '\0') + std::string(32, static_cast<char>(r));
  const auto builder = [&](const std::string& architecture) {
    return model(architecture)
        .tensor("blk.0.attn_q.weight", kQ8, {32, 32}, rows)
        .tensor("blk.0.attn_k.weight", kQ8, {16, 32}, rows.substr(0, 16 * 34))
        .tensor("blk.0.attn_q.bias", kF32, {32}, floats(32))
        .tensor("blk.0.attn_v.weight", kQ8, {16, 32}, rows.substr(0, 16 * 34));
  };
  const Checkpoint llama = open(builder("llama"));
  const auto row_of = [](const TensorView& tensor, int r) {
    return std::to_integer<int>(tensor.data[static_cast<std::size_t>(34 * r + 2)]);
  };
  const int expected[] = {0, 2, 4, 6, 1, 3, 5, 7};
  for (int r = 0; r < 32; ++r) {
    const int source = r / 8 * 8 + expected[r % 8];
    EXPECT_EQ(row_of(llama.at("model.layers.0.self_attn.q_proj.weight"), r), source);
    if (r < 16) {
      EXPECT_EQ(row_of(llama.at("model.layers.0.self_attn.k_proj.weight"), r), source);
      EXPECT_EQ(row_of(llama.at("model.layers.0.self_attn.v_proj.weight"), r), r);
    }
    EXPECT_EQ(llama.at("model.layers.0.self_attn.q_proj.bias").to_floats()[static_cast<std::size_t>(r)],
              static_cast<float>(source));
  }
  EXPECT_TRUE(llama.config().at("attention_bias").as_bool());
  const Checkpoint qwen = open(builder("qwen2"));
  for (int r = 0; r < 32; ++r) EXPECT_EQ(row_of(qwen.at("model.layers.0.self_attn.q_proj.weight"), r), r);
}

TEST_F(GgufCheckpointTest, GemmaKeepsItsNormsWithoutTheOne) {
  const auto gemma = [](const std::string& name) {
    return model(name)
        .number(name + ".attention.sliding_window", 16)
        .tensor("blk.0.attn_norm.weight", kF32, {32}, floats(32))
        .tensor("blk.0.post_attention_norm.weight", kF32, {32}, floats(32))
        .tensor("blk.0.ffn_norm.weight", kF32, {32}, floats(32))
        .tensor("blk.0.post_ffw_norm.weight", kF32, {32}, floats(32));
  };
  const Checkpoint checkpoint = open(gemma("gemma3"));
  for (const char* norm : {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                           "post_feedforward_layernorm"})
    EXPECT_EQ(checkpoint.at(std::string("model.layers.0.") + norm + ".weight").to_floats()[5], 4.0f) << norm;
  EXPECT_EQ(checkpoint.config().at("query_pre_attn_scalar").as_int(), 8);
  EXPECT_EQ(checkpoint.config().at("rope_theta").as_double(), 1e6);
  EXPECT_EQ(checkpoint.config().at("rope_local_base_freq").as_double(), 1e4);
  EXPECT_EQ(checkpoint.config().at("sliding_window_pattern").as_int(), 6);
  EXPECT_EQ(open(gemma("gemma3").number("gemma3.attention.sliding_window_pattern", 3))
                .config()
                .at("sliding_window_pattern")
                .as_int(),
            3);
  refused(ErrorCode::unsupported, {"gemma2.attention.sliding_window_pattern", "3", "2"},
          gemma("gemma2").number("gemma2.attention.sliding_window_pattern", 3));
  EXPECT_EQ(open(gemma("gemma2").real("gemma2.attn_logit_softcapping", 50.0f))
                .config()
                .at("attn_logit_softcapping")
                .as_double(),
            50.0);
}

TEST_F(GgufCheckpointTest, Phi3HasItsFactorsInTensors) {
  const auto phi3 = [] { return model("phi3").number("phi3.attention.sliding_window", 0); };
  const auto longrope = [&] {
    return phi3()
        .number("phi3.rope.dimension_count", 6)
        .number("phi3.rope.scaling.original_context_length", 32)
        .real("phi3.rope.scaling.attn_factor", 1.25f)
        .tensor("rope_factors_long.weight", kF32, {3}, floats(3, 2.0f))
        .tensor("rope_factors_short.weight", kF32, {3}, floats(3, 1.0f));
  };
  const std::string expected =
      R"({"rope_type":"longrope","short_factor":[1.0,2.0,3.0],"long_factor":[2.0,3.0,4.0],)"
      R"("original_max_position_embeddings":32,"attention_factor":1.25})";
  const Checkpoint checkpoint = open(longrope().tensor("blk.0.attn_qkv.weight", kF32, {64, 32}, floats(2048)));
  EXPECT_EQ(checkpoint.config().at("rope_scaling").dump(), expected);
  EXPECT_EQ(static_cast<int>(8 * checkpoint.config().at("partial_rotary_factor").as_double()), 6);
  EXPECT_NE(checkpoint.find("model.layers.0.self_attn.qkv_proj.weight"), nullptr);
  EXPECT_FALSE(checkpoint.config().find("sliding_window"));
  EXPECT_EQ(open(longrope().text("phi3.rope.scaling.type", "longrope")).config().at("rope_scaling").dump(),
            expected);
  EXPECT_FALSE(
      open(phi3().number("phi3.rope.scaling.original_context_length", 128)).config().find("rope_scaling"));
  EXPECT_EQ(
      open(model("phi3").number("phi3.attention.sliding_window", 2047)).config().at("sliding_window").as_int(),
      2047);
  // llama.cpp takes a file without the key too.
  EXPECT_TRUE(open(phi3()).notices().empty());
  const Checkpoint open_end = open(model("phi3"));
  EXPECT_FALSE(open_end.config().find("sliding_window"));
  ASSERT_EQ(open_end.notices().size(), 1u);
  EXPECT_NE(open_end.notices()[0].find("phi3.attention.sliding_window is missing"), std::string::npos);
  using enum ErrorCode;
  refused(invalid_file, {"rope_factors_short.weight", "missing"},
          phi3().tensor("rope_factors_long.weight", kF32, {4}, floats(4, 1.0f)));
  refused(unsupported, {"phi3.rope.scaling.attn_factor", "run is 1"},
          phi3().real("phi3.rope.scaling.attn_factor", 1.25f));
  refused(unsupported, {"phi3.rope.dimension_count", "10", "8"},
          phi3().number("phi3.rope.dimension_count", 10));
  for (const char* part : {"attn_q", "ffn_gate"})
    refused(unsupported, {std::string("blk.0.") + part + ".weight", "not known", "phi3"},
            phi3().tensor(std::string("blk.0.") + part + ".weight", kF32, {32, 32}, floats(1024)));
  refused(unsupported, {"rope_factors_long.weight", "not known"},
          model("llama").tensor("rope_factors_long.weight", kF32, {4}, floats(4)));
}

GgufBuilder three_experts(const std::string& architecture) {
  return model(architecture)
      .number(architecture + ".expert_count", 3)
      .number(architecture + ".expert_used_count", 2)
      .number(architecture + ".expert_feed_forward_length", 2)
      .tensor("blk.0.ffn_gate_inp.weight", kF32, {3, 32}, floats(96));
}

TEST_F(GgufCheckpointTest, ExpertsOfOneTensorAreTakenApart) {
  const auto mixture = [](const std::string& architecture) {
    return three_experts(architecture).tensor("blk.0.ffn_up_exps.weight", kF32, {3, 2, 32}, floats(192));
  };
  const auto expect_experts = [](const Checkpoint& checkpoint, const std::string& prefix,
                                 const std::string& name) {
    EXPECT_EQ(checkpoint.config().at("num_local_experts").as_int(), 3);
    EXPECT_EQ(checkpoint.config().at("num_experts_per_tok").as_int(), 2);
    EXPECT_EQ(checkpoint.at("model.layers.0." + prefix + ".gate.weight").shape,
              (std::vector<std::int64_t>{3, 32}));
    for (int e = 0; e < 3; ++e) {
      const TensorView& up =
          checkpoint.at("model.layers.0." + prefix + ".experts." + std::to_string(e) + "." + name + ".weight");
      EXPECT_EQ(up.shape, (std::vector<std::int64_t>{2, 32}));
      EXPECT_EQ(up.to_floats().front(), static_cast<float>(64 * e));
      EXPECT_EQ(up.to_floats().back(), static_cast<float>(64 * e + 63));
    }
  };
  {
    const Checkpoint qwen = open(mixture("qwen3moe"));
    EXPECT_EQ(qwen.config().at("architectures").dump(), R"(["Qwen3MoeForCausalLM"])");
    EXPECT_EQ(qwen.config().at("moe_intermediate_size").as_int(), 2);
    EXPECT_EQ(qwen.config().at("mlp_only_layers").dump(), "[]");
    expect_experts(qwen, "mlp", "up_proj");
  }
  {
    const Checkpoint mixtral = open(mixture("llama"));
    EXPECT_EQ(mixtral.config().at("architectures").dump(), R"(["MixtralForCausalLM"])");
    expect_experts(mixtral, "block_sparse_moe", "w3");
  }
  EXPECT_EQ(open(model("llama").number("llama.expert_count", 0)).config().at("architectures").dump(),
            R"(["LlamaForCausalLM"])");
  EXPECT_FALSE(open(mixture("qwen3moe").flag("qwen3moe.expert_weights_norm", false))
                   .config()
                   .at("norm_topk_prob")
                   .as_bool());
  using enum ErrorCode;
  refused(unsupported, {"llama.expert_weights_norm", "true"},
          mixture("llama").flag("llama.expert_weights_norm", false));
  refused(unsupported, {"qwen3moe.expert_gating_func", "run is 1"},
          mixture("qwen3moe").number("qwen3moe.expert_gating_func", 2));
  refused(unsupported, {"llama.expert_weights_scale", "run is 1"},
          mixture("llama").real("llama.expert_weights_scale", 2.5f));
  refused(invalid_file, {"blk.0.ffn_down_exps.weight", "3", "found 2"},
          mixture("qwen3moe").tensor("blk.0.ffn_down_exps.weight", kF32, {2, 32, 2}, floats(128)));
  refused(invalid_file, {"blk.0.ffn_down_exps.weight", "3", "2 dimensions"},
          mixture("qwen3moe").tensor("blk.0.ffn_down_exps.weight", kF32, {3, 32}, floats(96)));
  // A layer has one kind of MLP, and a family without experts has none of theirs.
  for (const char* architecture : {"llama", "qwen3moe"})
    refused(unsupported, {"blk.0.ffn_up.weight", "not known"},
            mixture(architecture).tensor("blk.0.ffn_up.weight", kF32, {64, 32}, floats(2048)));
  refused(unsupported, {"blk.0.ffn_up_exps.weight", "not known"},
          model("qwen3").tensor("blk.0.ffn_up_exps.weight", kF32, {3, 2, 32}, floats(192)));
  for (const std::uint32_t count : {0u, 16385u})
    refused(invalid_file, {"qwen3moe.expert_count", std::to_string(count)},
            model("qwen3moe").number("qwen3moe.expert_count", count));
  refused(invalid_file, {"qwen3moe.expert_feed_forward_length", "missing"},
          model("qwen3moe").number("qwen3moe.expert_count", 3).number("qwen3moe.expert_used_count", 2));
}

TEST_F(GgufCheckpointTest, AnExpertMayBeATensorOfItsOwn) {
  GgufBuilder builder = three_experts("llama");
  for (int e = 0; e < 3; ++e) {
    const std::string number = "." + std::to_string(e) + ".weight";
    const auto first = static_cast<float>(1000 * e);
    builder.tensor("blk.0.ffn_gate" + number, kF32, {2, 32}, floats(64, first))
        .tensor("blk.0.ffn_down" + number, kF32, {32, 2}, floats(64, first + 100))
        .tensor("blk.0.ffn_up" + number, kF32, {2, 32}, floats(64, first + 200));
  }
  const Checkpoint checkpoint = open(builder);
  EXPECT_EQ(checkpoint.config().at("architectures").dump(), R"(["MixtralForCausalLM"])");
  const auto expert = [&](int e, const char* name) -> const TensorView& {
    return checkpoint.at("model.layers.0.block_sparse_moe.experts." + std::to_string(e) + "." + name +
                         ".weight");
  };
  for (int e = 0; e < 3; ++e) {
    EXPECT_EQ(expert(e, "w1").to_floats().front(), static_cast<float>(1000 * e));
    EXPECT_EQ(expert(e, "w2").to_floats().front(), static_cast<float>(1000 * e + 100));
    EXPECT_EQ(expert(e, "w3").to_floats().front(), static_cast<float>(1000 * e + 200));
    EXPECT_EQ(expert(e, "w2").shape, (std::vector<std::int64_t>{32, 2}));
    // Views of the file, where they stand 256 bytes apart in this order.
    EXPECT_EQ(expert(e, "w2").data.data() - expert(e, "w1").data.data(), 256);
    EXPECT_EQ(expert(e, "w3").data.data() - expert(0, "w1").data.data(), 768 * e + 512);
  }
  using enum ErrorCode;
  const auto with = [&](const std::string& name) {
    return three_experts("llama").tensor("blk.0." + name + ".weight", kF32, {2, 32}, floats(64));
  };
  for (const char* number : {"3", "00", "-1", "x", ""})
    refused(invalid_file, {std::string("blk.0.ffn_up.") + number + ".weight", "an expert from 0 to 2"},
            with(std::string("ffn_up.") + number));
  for (const char* name : {"ffn_gate_inp.0", "ffn_up_exps.0", "attn_q.0", "ffn_up.0.0"})
    refused(name == std::string("ffn_up.0.0") ? invalid_file : unsupported,
            {std::string("blk.0.") + name + ".weight"}, with(name));
  refused(unsupported, {"blk.0.ffn_up.0.weight", "not known", "llama"},
          model("llama").tensor("blk.0.ffn_up.0.weight", kF32, {2, 32}, floats(64)));
  refused(invalid_file, {"experts.1.w3.weight", "has this matrix twice"},
          with("ffn_up.1").tensor("blk.0.ffn_up_exps.weight", kF32, {3, 2, 32}, floats(192)));
}

TEST_F(GgufCheckpointTest, GateAndUpOfAnExpertMayStandInOneTensor) {
  constexpr const char* kBoth = "blk.0.ffn_gate_up_exps.weight";
  const std::pair<const char*, std::array<const char*, 3>> families[] = {
      {"llama", {"block_sparse_moe", "w1", "w3"}}, {"qwen3moe", {"mlp", "gate_proj", "up_proj"}}};
  for (const auto& [architecture, names] : families) {
    const Checkpoint checkpoint =
        open(three_experts(architecture).tensor(kBoth, kF32, {3, 4, 32}, floats(384)));
    const std::string prefix = std::string("model.layers.0.") + names[0] + ".experts.";
    for (int e = 0; e < 3; ++e) {
      const std::string expert = prefix + std::to_string(e) + ".";
      const TensorView &gate = checkpoint.at(expert + names[1] + ".weight"),
                       &up = checkpoint.at(expert + names[2] + ".weight");
      EXPECT_EQ(gate.shape, (std::vector<std::int64_t>{2, 32}));
      EXPECT_EQ(up.shape, gate.shape);
      EXPECT_EQ(gate.to_floats().front(), static_cast<float>(128 * e));
      EXPECT_EQ(up.to_floats().back(), static_cast<float>(128 * e + 127));
      EXPECT_EQ(up.data.data() - gate.data.data(), 256);  // views of the file
    }
  }
  using enum ErrorCode;
  refused(invalid_file, {kBoth, "found 5 together"},
          three_experts("llama").tensor(kBoth, kF32, {3, 5, 32}, floats(480)));
  refused(invalid_file, {kBoth, "3 experts", "found 2"},
          three_experts("llama").tensor(kBoth, kF32, {2, 4, 32}, floats(256)));
  refused(invalid_file, {"experts.0.w1.weight", "has this matrix twice"},
          three_experts("llama")
              .tensor(kBoth, kF32, {3, 4, 32}, floats(384))
              .tensor("blk.0.ffn_gate_exps.weight", kF32, {3, 2, 32}, floats(192)));
  refused(unsupported, {kBoth, "not known"}, model("llama").tensor(kBoth, kF32, {3, 4, 32}, floats(384)));
}

TEST_F(GgufCheckpointTest, Llama3ScalingIsFoundInItsFactors) {
  // head_dim 8 and theta 5e5: wavelengths 6.3, 167, 4443 and 118138 tokens, of which the last are stretched.
  const auto factors = [](float third, float last) {
    return SafetensorsBuilder::bytes_of(std::vector<float>{1.0f, 1.0f, third, last});
  };
  const float smooth = (8192.0f / 4442.8829f - 1.0f) / 3.0f;
  const float third = 1.0f / ((1.0f - smooth) / 32.0f + smooth);
  const auto builder = [&](float value) {
    return model("llama")
        .real("llama.rope.freq_base", 5e5f)
        .tensor("rope_freqs.weight", kF32, {4}, factors(value, 32.0f));
  };
  const Checkpoint checkpoint = open(builder(third));
  EXPECT_EQ(checkpoint.config().at("rope_scaling").at("rope_type").as_string(), "llama3");
  EXPECT_EQ(checkpoint.config().at("rope_scaling").at("factor").as_double(), 32.0);
  EXPECT_EQ(checkpoint.find("rope_freqs.weight"), nullptr);
  refused(ErrorCode::unsupported, {"rope_freqs.weight", "number 2"}, builder(third * 1.1f));
}

TEST_F(GgufCheckpointTest, EveryKeyOfRotaryScalingIsReadOrRefused) {
  const auto scaling = [&](const GgufBuilder& builder) {
    return open(builder).config().at("rope_scaling").dump();
  };
  const std::string linear = R"({"rope_type":"linear","factor":4.0})";
  EXPECT_EQ(
      scaling(model("llama").text("llama.rope.scaling.type", "linear").real("llama.rope.scaling.factor", 4)),
      linear);
  EXPECT_EQ(scaling(model("llama").real("llama.rope.scaling.factor", 4)), linear);
  EXPECT_EQ(scaling(model("llama").real("llama.rope.scale_linear", 4)), linear);
  const auto yarn = [] {
    return model("qwen2")
        .text("qwen2.rope.scaling.type", "yarn")
        .real("qwen2.rope.scaling.factor", 4)
        .number("qwen2.rope.scaling.original_context_length", 32);
  };
  EXPECT_EQ(
      scaling(
          yarn().real("qwen2.rope.scaling.yarn_beta_fast", 16).real("qwen2.rope.scaling.yarn_attn_factor", 1)),
      R"({"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":32,"beta_fast":16.0})");
  using enum ErrorCode;
  refused(unsupported, {"qwen2.rope.scaling.attn_factor", "run is 1"},
          yarn().real("qwen2.rope.scaling.attn_factor", 1.5f));
  refused(unsupported, {"qwen2.rope.scaling.yarn_log_multiplier", "not known"},
          yarn().real("qwen2.rope.scaling.yarn_log_multiplier", 0.1f));
  refused(invalid_file, {"qwen2.rope.scaling.factor", "missing"},
          model("qwen2").text("qwen2.rope.scaling.type", "yarn"));
  refused(
      unsupported, {"llama.rope.scaling.factor", "rope_freqs.weight"},
      model("llama").real("llama.rope.scaling.factor", 4).tensor("rope_freqs.weight", kF32, {4}, floats(4)));
}

TEST_F(GgufCheckpointTest, WhatIsNotRunIsNamed) {
  using enum ErrorCode;
  refused(invalid_file, {"general.architecture", "missing"}, GgufBuilder());
  refused(unsupported, {"general.architecture", "mamba", "gemma3"}, model("mamba"));
  refused(unsupported, {"split.count", "3", "join"}, model("llama").number("split.count", 3));
  refused(invalid_file, {"token_embd.weight", "missing"}, metadata("llama"));
  refused(unsupported, {"blk.0.attn_gate.weight", "not known", "llama"},
          model("llama").tensor("blk.0.attn_gate.weight", kF32, {4}, floats(4)));
  refused(unsupported, {"blk.0.rope_freqs.weight", "not known"},
          model("llama").tensor("blk.0.rope_freqs.weight", kF32, {4}, floats(4)));
  refused(unsupported, {"blk.0.attn_q_norm.weight", "not known", "llama"},
          model("llama").tensor("blk.0.attn_q_norm.weight", kF32, {8}, floats(8)));
  for (const char* bias : {"attn_v", "attn_output", "ffn_up", "attn_norm"})
    refused(unsupported, {std::string("blk.0.") + bias + ".bias", "not known", "gemma2"},
            model("gemma2")
                .number("gemma2.attention.sliding_window", 16)
                .tensor(std::string("blk.0.") + bias + ".bias", kF32, {32}, floats(32)));
  refused(unsupported, {"output.bias", "not known"},
          model("llama").tensor("output.bias", kF32, {5}, floats(5)));
  for (const char* layer : {"1", "00", "-1", "x", ""})
    refused(
        invalid_file, {std::string("blk.") + layer + ".ffn_up.weight", "0 to 0", "block_count"},
        model("llama").tensor(std::string("blk.") + layer + ".ffn_up.weight", kF32, {64, 32}, floats(2048)));
  refused(unsupported, {"llama.rope.scaling.type", "longrope"},
          model("llama").text("llama.rope.scaling.type", "longrope"));
  refused(unsupported, {"llama.attention.value_length", "16", "8"},
          model("llama").number("llama.attention.value_length", 16));
  refused(invalid_file, {"llama.vocab_size", "6", "5"}, model("llama").number("llama.vocab_size", 6));
  refused(invalid_file, {"blk.0.attn_q.weight", "4 heads"},
          model("llama").tensor("blk.0.attn_q.weight", kF32, {9, 32}, floats(288)));
}

}  // namespace
}  // namespace octet::files
