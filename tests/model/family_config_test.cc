// What each family reads from its config.json, as published checkpoints have it, and what it refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "files/expect_error.h"
#include "model/config.h"

namespace octet::model {
namespace {

using tests::expect_error;

// A family's config with the members of a decoder of `layers` layers and those of `members`.
ModelConfig read_family(const std::string& architecture, const std::string& model_type, int layers,
                        const std::string& members) {
  const std::string text =
      R"({"architectures":[")" + architecture + R"("],"model_type":")" + model_type +
      R"(","vocab_size":1000,"hidden_size":64,"intermediate_size":128,)" +
      R"("num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":4096,)" +
      R"("torch_dtype":"bfloat16","num_hidden_layers":)" + std::to_string(layers) +
      (members.empty() ? "" : "," + members) + "}";
  return read_model_config(files::JsonValue::parse(text, "config.json"));
}

std::vector<int> windows_of(const ModelConfig& config) {
  std::vector<int> windows;
  for (const LayerConfig& layer : config.layers) windows.push_back(layer.sliding_window);
  return windows;
}

std::vector<int> ropes_of(const ModelConfig& config) {
  std::vector<int> ropes;
  for (const LayerConfig& layer : config.layers) ropes.push_back(layer.rope);
  return ropes;
}

ModelConfig qwen2(const std::string& members) { return read_family("Qwen2ForCausalLM", "qwen2", 4, members); }

TEST(FamilyConfig, Qwen2HasBiasesOnQueriesKeysAndValuesAlone) {
  const ModelConfig c = qwen2("");
  EXPECT_TRUE(c.qkv_bias);
  EXPECT_FALSE(c.o_bias || c.mlp_bias || c.qk_norm);
  EXPECT_EQ(c.head_dim, 16);
}

TEST(FamilyConfig, Qwen2HasWindowsWhereItAsksForThem) {
  const std::vector<int> none(4, 0);
  EXPECT_EQ(windows_of(qwen2(R"("sliding_window":32768,"max_window_layers":2)")), none);
  EXPECT_EQ(windows_of(qwen2(R"("use_sliding_window":false,"sliding_window":8,"max_window_layers":2)")), none);
  EXPECT_EQ(windows_of(qwen2(R"("use_sliding_window":true,"sliding_window":8,"max_window_layers":2)")),
            (std::vector<int>{0, 0, 8, 8}));
  EXPECT_EQ(windows_of(qwen2(R"("use_sliding_window":true,"sliding_window":8)")), none);  // from the 29th on
  EXPECT_EQ(windows_of(qwen2(R"("use_sliding_window":true,"sliding_window":8,"layer_types":)"
                             R"(["sliding_attention","full_attention","full_attention","sliding_attention"])")),
            (std::vector<int>{8, 0, 0, 8}));
}

TEST(FamilyConfig, LayerTypesThatCannotBeAreNamed) {
  expect_error(ErrorCode::invalid_file, {"layer_types", "4", "3"},
               [] { qwen2(R"("layer_types":["full_attention","full_attention","full_attention"])"); });
  expect_error(ErrorCode::invalid_file, {"layer_types[3]", "contradicts the sliding_window"}, [] {
    qwen2(R"("layer_types":["full_attention","full_attention","full_attention","sliding_attention"])");
  });
  expect_error(ErrorCode::unsupported, {"layer_types[0]", "chunked_attention", "full_attention"}, [] {
    qwen2(R"("layer_types":["chunked_attention","full_attention","full_attention","full_attention"])");
  });
}

TEST(FamilyConfig, YarnInBothSpellings) {
  for (
      const char* spelling :
      {R"("rope_theta":1e6,"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":1024})",
       R"("rope_parameters":{"rope_type":"yarn","rope_theta":1e6,"factor":4.0,)"
       R"("original_max_position_embeddings":1024})"}) {
    const RopeConfig rope = qwen2(spelling).ropes[0];
    EXPECT_EQ(rope.type, RopeConfig::Type::yarn);
    EXPECT_DOUBLE_EQ(rope.theta, 1e6);
    EXPECT_DOUBLE_EQ(rope.factor, 4.0);
    EXPECT_EQ(rope.original_max_position_embeddings, 1024);
    EXPECT_NEAR(rope.attention_factor, 1.1386294, 1e-6);  // 0.1 ln 4 + 1
  }
  expect_error(ErrorCode::invalid_file, {"original_max_position_embeddings", "missing"},
               [] { qwen2(R"("rope_scaling":{"type":"yarn","factor":4.0})"); });
  expect_error(ErrorCode::unsupported, {"rope_scaling.short_factor"}, [] {
    qwen2(
        R"("rope_scaling":{"type":"yarn","factor":4,"original_max_position_embeddings":8,"short_factor":[]})");
  });
}

TEST(FamilyConfig, Qwen3NormsHeadsOf128) {
  const ModelConfig c = read_family("Qwen3ForCausalLM", "qwen3", 2, R"("attention_bias":false)");
  EXPECT_TRUE(c.qk_norm);
  EXPECT_FALSE(c.qkv_bias || c.o_bias);
  EXPECT_EQ(c.head_dim, 128);
  EXPECT_EQ(read_family("Qwen3ForCausalLM", "qwen3", 2, R"("head_dim":64)").head_dim, 64);
}

ModelConfig qwen3_moe(const std::string& members) {
  return read_family("Qwen3MoeForCausalLM", "qwen3_moe", 4,
                     R"("num_experts_per_tok":2,"moe_intermediate_size":32,)" + members);
}

TEST(FamilyConfig, Qwen3MoeHasExpertsInSomeLayers) {
  const ModelConfig c = qwen3_moe(R"("num_experts":8,"norm_topk_prob":true,"decoder_sparse_step":2)");
  EXPECT_EQ(c.num_experts, 8);
  EXPECT_EQ(c.experts_per_token, 2);
  EXPECT_EQ(c.expert_intermediate_size, 32);
  EXPECT_TRUE(c.norm_topk_prob);
  EXPECT_FALSE(c.layers[0].experts || c.layers[2].experts);
  EXPECT_TRUE(c.layers[1].experts && c.layers[3].experts);
  const ModelConfig dense_first = qwen3_moe(R"("num_local_experts":8,"mlp_only_layers":[0])");
  EXPECT_FALSE(dense_first.layers[0].experts || dense_first.norm_topk_prob);
  EXPECT_TRUE(dense_first.layers[1].experts);
}

TEST(FamilyConfig, ExpertsThatCannotBeAreNamed) {
  expect_error(ErrorCode::invalid_file, {"num_experts", "missing"},
               [] { qwen3_moe(R"("norm_topk_prob":true)"); });
  expect_error(ErrorCode::invalid_file, {"num_experts_per_tok", "1 to 1"},
               [] { qwen3_moe(R"("num_experts":1)"); });
  expect_error(ErrorCode::invalid_file, {"mlp_only_layers[0]", "0 to 3"},
               [] { qwen3_moe(R"("num_experts":8,"mlp_only_layers":[4])"); });
  expect_error(ErrorCode::invalid_file, {"num_local_experts", "contradicts num_experts"},
               [] { qwen3_moe(R"("num_experts":8,"num_local_experts":4)"); });
}

TEST(FamilyConfig, MixtralsWeightsOfExpertsAddUpToOne) {
  const ModelConfig c = read_family("MixtralForCausalLM", "mixtral", 2,
                                    R"("num_local_experts":8,"num_experts_per_tok":2,"sliding_window":null)");
  EXPECT_TRUE(c.norm_topk_prob && c.layers[0].experts && c.layers[1].experts);
  EXPECT_EQ(c.expert_intermediate_size, 128);
  EXPECT_EQ(c.sliding_window, 0);
  EXPECT_DOUBLE_EQ(c.ropes[0].theta, 1e6);
}

constexpr const char* kGemma2 = R"("head_dim":32,"query_pre_attn_scalar":144,"attn_logit_softcapping":50.0,)"
                                R"("final_logit_softcapping":30.0,"hidden_act":"gelu","sliding_window":512,)"
                                R"("hidden_activation":"gelu_pytorch_tanh")";

TEST(FamilyConfig, Gemma2) {
  const ModelConfig c = read_family("Gemma2ForCausalLM", "gemma2", 3, kGemma2);
  EXPECT_EQ(windows_of(c), (std::vector<int>{512, 0, 512}));
  EXPECT_DOUBLE_EQ(c.attention_scale, 1.0 / 12);
  EXPECT_DOUBLE_EQ(c.embedding_scale, 8.0);
  EXPECT_DOUBLE_EQ(c.attention_logit_softcap, 50.0);
  EXPECT_DOUBLE_EQ(c.final_logit_softcap, 30.0);
  EXPECT_TRUE(c.norm_plus_one && c.post_norms && c.tie_word_embeddings);
  EXPECT_EQ(c.activation, Activation::gelu_pytorch_tanh);
  EXPECT_EQ(c.head_dim, 32);
  expect_error(ErrorCode::unsupported, {"hidden_activation", "relu", "gelu_pytorch_tanh"},
               [] { read_family("Gemma2ForCausalLM", "gemma2", 3, R"("hidden_activation":"relu")"); });
  expect_error(ErrorCode::unsupported, {"use_bidirectional_attention"},
               [] { read_family("Gemma2ForCausalLM", "gemma2", 3, R"("use_bidirectional_attention":true)"); });
}

TEST(FamilyConfig, Gemma2WithoutWhatItSays) {
  const ModelConfig c = read_family("Gemma2ForCausalLM", "gemma2", 2, R"("final_logit_softcapping":null)");
  EXPECT_DOUBLE_EQ(c.attention_logit_softcap, 50.0);
  EXPECT_DOUBLE_EQ(c.final_logit_softcap, 0.0);
  EXPECT_EQ(windows_of(c), (std::vector<int>{4096, 0}));
  EXPECT_EQ(c.head_dim, 256);
  EXPECT_DOUBLE_EQ(c.attention_scale, 1.0 / 16);
}

ModelConfig gemma3(const std::string& members) {
  return read_family("Gemma3ForCausalLM", "gemma3_text", 7, R"("sliding_window":512,)" + members);
}

TEST(FamilyConfig, Gemma3HasTwoRopesInBothSpellings) {
  for (const char* spelling :
       {R"("rope_theta":1e6,"rope_local_base_freq":2e4,"rope_scaling":{"rope_type":"linear","factor":8.0})",
        R"("rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1e6},)"
        R"("sliding_attention":{"rope_type":"default","rope_theta":2e4}})"}) {
    const ModelConfig c = gemma3(std::string(spelling) + R"(,"sliding_window_pattern":6)");
    EXPECT_EQ(windows_of(c), (std::vector<int>{512, 512, 512, 512, 512, 0, 512}));
    EXPECT_EQ(ropes_of(c), (std::vector<int>{1, 1, 1, 1, 1, 0, 1}));
    EXPECT_EQ(c.ropes[0].type, RopeConfig::Type::linear);
    EXPECT_DOUBLE_EQ(c.ropes[0].theta, 1e6);
    EXPECT_DOUBLE_EQ(c.ropes[0].factor, 8.0);
    EXPECT_EQ(c.ropes[1].type, RopeConfig::Type::default_);
    EXPECT_DOUBLE_EQ(c.ropes[1].theta, 2e4);
    EXPECT_TRUE(c.qk_norm);
    EXPECT_DOUBLE_EQ(c.final_logit_softcap, 0.0);
  }
}

TEST(FamilyConfig, Gemma3WithoutWhatItSays) {
  const ModelConfig c = gemma3(R"("attn_logit_softcapping":null)");
  EXPECT_EQ(windows_of(c), (std::vector<int>{512, 512, 512, 512, 512, 0, 512}));
  EXPECT_DOUBLE_EQ(c.ropes[0].theta, 1e6);
  EXPECT_DOUBLE_EQ(c.ropes[1].theta, 1e4);
  EXPECT_EQ(c.head_dim, 256);
  expect_error(ErrorCode::unsupported, {"attn_logit_softcapping"},
               [] { gemma3(R"("attn_logit_softcapping":50.0)"); });
  expect_error(ErrorCode::unsupported, {"rope_parameters.rope_theta", "full_attention"},
               [] { gemma3(R"("rope_parameters":{"rope_theta":1e6})"); });
}

constexpr const char* kLongRope = R"("short_factor":[1,1,1,1,1,1],"long_factor":[1,2,3,4,5,6])";

ModelConfig phi3(const std::string& members) { return read_family("Phi3ForCausalLM", "phi3", 2, members); }

TEST(FamilyConfig, Phi3TurnsAPartOfAHeadWithLongRope) {
  for (const char* type : {"\"type\":\"longrope\",", "\"type\":\"su\",", "\"rope_type\":\"longrope\","}) {
    const ModelConfig c =
        phi3(std::string(R"("partial_rotary_factor":0.75,"original_max_position_embeddings":1024,)") +
             R"("rope_scaling":{)" + type + kLongRope + "}");
    const RopeConfig& rope = c.ropes[0];
    EXPECT_EQ(rope.type, RopeConfig::Type::longrope);
    EXPECT_EQ(rope.rotary_dim, 12);
    EXPECT_EQ(rope.long_factor.back(), 6.0);
    EXPECT_NEAR(rope.attention_factor, 1.0954451, 1e-6);  // sqrt(1 + ln 4 / ln 1024)
  }
  EXPECT_EQ(windows_of(phi3(R"("sliding_window":2047)")), (std::vector<int>{2047, 2047}));
}

TEST(FamilyConfig, LongRopeThatCannotBeIsNamed) {
  expect_error(ErrorCode::invalid_file, {"short_factor", "expected 8 numbers", "6"}, [] {
    phi3(std::string(R"("original_max_position_embeddings":1024,"rope_scaling":{"type":"longrope",)") +
         kLongRope + "}");
  });
  expect_error(ErrorCode::invalid_file, {"original_max_position_embeddings", "missing"}, [] {
    phi3(std::string(R"("partial_rotary_factor":0.75,"rope_scaling":{"type":"longrope",)") + kLongRope + "}");
  });
  expect_error(ErrorCode::unsupported, {"attention_bias"}, [] { phi3("\"attention_bias\":true"); });
}

ModelConfig smollm3(const std::string& members) {
  return read_family("SmolLM3ForCausalLM", "smollm3", 5, members);
}

TEST(FamilyConfig, SmolLM3HasLayersThatDoNotTurn) {
  constexpr int kNone = LayerConfig::kNoRope;
  const ModelConfig c = smollm3(R"("no_rope_layer_interval":4,"pretraining_tp":2)");
  EXPECT_EQ(ropes_of(c), (std::vector<int>{0, 0, 0, kNone, 0}));
  EXPECT_DOUBLE_EQ(c.ropes[0].theta, 2e6);
  EXPECT_TRUE(c.tie_word_embeddings);
  EXPECT_EQ(ropes_of(smollm3(R"("no_rope_layers":[0,1,1,1,0],"rope_theta":5e6)")),
            (std::vector<int>{kNone, 0, 0, 0, kNone}));
  expect_error(ErrorCode::invalid_file, {"no_rope_layers", "5", "1"},
               [] { smollm3("\"no_rope_layers\":[1]"); });
  expect_error(ErrorCode::invalid_file, {"no_rope_layers[0]", "0 to 1"},
               [] { smollm3("\"no_rope_layers\":[2,1,1,1,1]"); });
}

// Numbers, names and brackets of a config gone wrong: an Error, or a config that holds together.
TEST(FamilyConfig, AMangledConfigIsReadOrRefused) {
  std::mt19937_64 generator(1);
  int read = 0, refused = 0;
  for (const char* family : {"llama3", "mistral", "qwen2", "qwen2_yarn", "qwen3", "qwen3_moe", "mixtral",
                             "gemma2", "gemma3", "phi3", "smollm3"}) {
    std::ifstream file(std::string(OCTET_SOURCE_DIR "/tests/data/tiny/") + family + "/config.json");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(text.empty());
    for (int i = 0; i < 1500; ++i) {
      std::string mangled = text;
      static constexpr std::string_view kBytes = "0123456789.-eE,:[]{}\"";
      for (std::uint64_t count = generator() % 2 + 1; count > 0; --count)
        mangled[generator() % mangled.size()] = kBytes[generator() % kBytes.size()];
      try {
        const ModelConfig c = read_model_config(files::JsonValue::parse(mangled, "config.json"));
        ++read;
        ASSERT_EQ(c.layers.size(), static_cast<std::size_t>(c.num_layers));
        for (const LayerConfig& layer : c.layers) {
          ASSERT_LT(layer.rope, static_cast<int>(c.ropes.size())) << mangled;
          ASSERT_TRUE(!layer.experts || c.experts_per_token <= c.num_experts) << mangled;
        }
        for (const RopeConfig& rope : c.ropes) {
          ASSERT_TRUE(rope.rotary_dim >= 2 && rope.rotary_dim <= c.head_dim) << mangled;
          for (const float frequency : rope_frequencies(rope, c.max_position_embeddings).inverse_frequencies)
            ASSERT_TRUE(std::isfinite(frequency)) << mangled;
        }
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(read, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(FamilyConfig, AnArchitectureThatIsNotThereListsThoseThatAre) {
  expect_error(ErrorCode::unsupported,
               {"FalconForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",
                "Qwen3ForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "Phi3ForCausalLM",
                "SmolLM3ForCausalLM", "MixtralForCausalLM", "Qwen3MoeForCausalLM"},
               [] { read_family("FalconForCausalLM", "falcon", 1, ""); });
}

}  // namespace
}  // namespace octet::model
