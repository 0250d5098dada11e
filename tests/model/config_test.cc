#include "model/config.h"

#include <string>

#include "files/expect_error.h"

namespace octet::model {
namespace {

using tests::expect_error;

// A Llama config with `members` appended; a member that is named again replaces the one here.
std::string llama_text(const std::string& members = "", const std::string& architecture = "LlamaForCausalLM",
                       const std::string& without = "") {
  std::string text = "{\"architectures\":[\"" + architecture + "\"]";
  const auto add = [&](const std::string& key, const std::string& value) {
    const std::string quoted = "\"" + key + "\":";
    if (key == without || members.starts_with(quoted) || members.find("," + quoted) != std::string::npos)
      return;
    text.append(",").append(quoted).append(value);
  };
  add("model_type", architecture == "MistralForCausalLM" ? "\"mistral\"" : "\"llama\"");
  add("vocab_size", "32000");
  add("hidden_size", "64");
  add("intermediate_size", "128");
  add("num_hidden_layers", "2");
  add("num_attention_heads", "4");
  add("num_key_value_heads", "2");
  add("max_position_embeddings", "2048");
  add("rms_norm_eps", "1e-05");
  add("torch_dtype", "\"bfloat16\"");
  if (!members.empty()) text += "," + members;
  return text + "}";
}

ModelConfig read(const std::string& text) {
  return read_model_config(files::JsonValue::parse(text, "config.json"));
}
ModelConfig llama(const std::string& members = "") { return read(llama_text(members)); }

void expect_invalid(std::initializer_list<std::string_view> words, const std::string& members) {
  expect_error(ErrorCode::invalid_file, {"config.json"}, [&] { llama(members); });
  expect_error(ErrorCode::invalid_file, words, [&] { llama(members); });
}
void expect_unsupported(std::initializer_list<std::string_view> words, const std::string& members) {
  expect_error(ErrorCode::unsupported, words, [&] { llama(members); });
}

TEST(ModelConfig, ReadsAPlainLlama) {
  const ModelConfig c = llama("\"tie_word_embeddings\":true,\"rope_theta\":100000.0,\"eos_token_id\":2");
  EXPECT_EQ(c.architecture, "LlamaForCausalLM");
  EXPECT_EQ(c.model_type, "llama");
  EXPECT_EQ(c.vocab_size, 32000);
  EXPECT_EQ(c.hidden_size, 64);
  EXPECT_EQ(c.intermediate_size, 128);
  EXPECT_EQ(c.num_layers, 2);
  EXPECT_EQ(c.num_heads, 4);
  EXPECT_EQ(c.num_kv_heads, 2);
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.group(), 2);
  EXPECT_EQ(c.max_position_embeddings, 2048);
  EXPECT_EQ(c.sliding_window, 0);
  EXPECT_FLOAT_EQ(c.rms_norm_eps, 1e-5f);
  EXPECT_TRUE(c.tie_word_embeddings);
  EXPECT_FALSE(c.qkv_bias || c.o_bias);
  EXPECT_FALSE(c.mlp_bias);
  EXPECT_EQ(c.ropes[0].type, RopeConfig::Type::default_);
  EXPECT_DOUBLE_EQ(c.ropes[0].theta, 100000.0);
  EXPECT_EQ(c.dtype, Dtype::bfloat16);
  EXPECT_EQ(c.eos_token_ids, std::vector<std::int32_t>{2});
}

TEST(ModelConfig, FillsInTheDefaultsOfTransformers) {
  const ModelConfig c = read(
      R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":10,"hidden_size":64,)"
      R"("intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":4,"max_position_embeddings":16})");
  EXPECT_EQ(c.num_kv_heads, 4);
  EXPECT_FLOAT_EQ(c.rms_norm_eps, 1e-6f);
  EXPECT_DOUBLE_EQ(c.ropes[0].theta, 10000.0);
  EXPECT_FALSE(c.tie_word_embeddings);
  EXPECT_EQ(c.dtype, Dtype::float32);
  EXPECT_TRUE(c.eos_token_ids.empty());
}

TEST(ModelConfig, HeadDimMayBeStated) {
  EXPECT_EQ(llama("\"head_dim\":32").head_dim, 32);
  EXPECT_EQ(llama("\"head_dim\":null").head_dim, 16);
  expect_invalid({"head_dim", "even", "15"}, "\"head_dim\":15");
  expect_invalid({"head_dim", "from 2 to 1024", "0"}, "\"head_dim\":0");
  expect_invalid({"hidden_size", "no even head_dim"}, "\"hidden_size\":66");
  expect_invalid({"hidden_size", "no even head_dim"}, "\"hidden_size\":60");  // 15 a head
}

TEST(ModelConfig, MissingFieldsAreNamed) {
  for (const char* key : {"model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "max_position_embeddings"})
    expect_error(ErrorCode::invalid_file, {"config.json", key, "missing"},
                 [&] { read(llama_text("", "LlamaForCausalLM", key)); });
  expect_error(ErrorCode::invalid_file, {"architectures", "missing"}, [] { read("{}"); });
}

TEST(ModelConfig, SizesOutOfRangeAreNamed) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "num_key_value_heads", "max_position_embeddings"})
    for (const char* value : {"0", "-1", "4611686018427387904", "1.5", "\"8\"", "[]"})
      expect_invalid({key, "expected an integer from 1"}, std::string("\"") + key + "\":" + value);
  expect_invalid({"num_key_value_heads", "no multiple of 3"}, "\"num_key_value_heads\":3");
  expect_invalid({"num_key_value_heads", "no multiple of 8"}, "\"num_key_value_heads\":8");
  expect_invalid({"num_attention_heads", "at most 64", "found 65"},
                 "\"num_attention_heads\":65,\"num_key_value_heads\":1,\"head_dim\":8");
  for (const char* value : {"0", "-1e-5", "0.2", "\"small\""})
    expect_invalid({"rms_norm_eps"}, std::string("\"rms_norm_eps\":") + value);
  expect_invalid({"tie_word_embeddings", "true or false"}, "\"tie_word_embeddings\":1");
}

TEST(ModelConfig, UnknownArchitectureListsTheKnown) {
  expect_error(ErrorCode::unsupported,
               {"architectures", "GPT2LMHeadModel", "LlamaForCausalLM", "MistralForCausalLM"},
               [] { read(llama_text("", "GPT2LMHeadModel")); });
  expect_error(ErrorCode::unsupported, {"architectures", "[]"}, [] { read(R"({"architectures":[]})"); });
}

TEST(ModelConfig, ValuesThatAreNotRunAreNamed) {
  EXPECT_NO_THROW(llama("\"hidden_act\":\"silu\",\"pretraining_tp\":1"));
  expect_unsupported({"hidden_act", "gelu", "silu"}, "\"hidden_act\":\"gelu\"");
  expect_unsupported({"pretraining_tp", "2"}, "\"pretraining_tp\":2");
  EXPECT_EQ(llama("\"partial_rotary_factor\":0.5").ropes[0].rotary_dim, 8);
  expect_invalid({"partial_rotary_factor", "1.5"}, "\"partial_rotary_factor\":1.5");
  expect_invalid({"partial_rotary_factor", "0.2", "pairs"}, "\"partial_rotary_factor\":0.2");
}

TEST(ModelConfig, Biases) {
  EXPECT_TRUE(llama("\"attention_bias\":true").qkv_bias);
  EXPECT_TRUE(llama("\"attention_bias\":true").o_bias);
  EXPECT_TRUE(llama("\"mlp_bias\":true").mlp_bias);
}

TEST(ModelConfig, DtypeOfEitherSpelling) {
  EXPECT_EQ(read(llama_text("\"dtype\":\"float16\"", "LlamaForCausalLM", "torch_dtype")).dtype, Dtype::float16);
  EXPECT_EQ(llama("\"torch_dtype\":\"float32\"").dtype, Dtype::float32);
  EXPECT_EQ(llama("\"dtype\":\"bfloat16\"").dtype, Dtype::bfloat16);
  expect_invalid({"dtype", "contradicts torch_dtype"}, "\"dtype\":\"float16\"");
  expect_unsupported({"torch_dtype", "float8_e4m3fn"}, "\"torch_dtype\":\"float8_e4m3fn\"");
}

TEST(ModelConfig, EosIsOneOrSeveral) {
  EXPECT_EQ(llama("\"eos_token_id\":[5,7]").eos_token_ids, (std::vector<std::int32_t>{5, 7}));
  EXPECT_TRUE(llama("\"eos_token_id\":null").eos_token_ids.empty());
  expect_invalid({"eos_token_id", "0 to 31999"}, "\"eos_token_id\":32000");
  expect_invalid({"eos_token_id[1]"}, "\"eos_token_id\":[1,-1]");
  expect_invalid({"eos_token_id"}, "\"eos_token_id\":\"</s>\"");
}

constexpr const char* kLlama3 =
    R"("factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192)";

TEST(ModelConfig, RopeBeforeTransformers5) {
  EXPECT_EQ(llama("\"rope_scaling\":null").ropes[0].type, RopeConfig::Type::default_);
  const RopeConfig linear = llama(R"("rope_theta":5e5,"rope_scaling":{"type":"linear","factor":2})").ropes[0];
  EXPECT_EQ(linear.type, RopeConfig::Type::linear);
  EXPECT_DOUBLE_EQ(linear.factor, 2.0);
  EXPECT_DOUBLE_EQ(linear.theta, 5e5);
  const RopeConfig llama3 =
      llama(std::string(R"("rope_scaling":{"rope_type":"llama3",)") + kLlama3 + "}").ropes[0];
  EXPECT_EQ(llama3.type, RopeConfig::Type::llama3);
  EXPECT_DOUBLE_EQ(llama3.factor, 32.0);
  EXPECT_DOUBLE_EQ(llama3.low_freq_factor, 1.0);
  EXPECT_DOUBLE_EQ(llama3.high_freq_factor, 4.0);
  EXPECT_EQ(llama3.original_max_position_embeddings, 8192);
}

TEST(ModelConfig, RopeSinceTransformers5) {
  const RopeConfig plain = llama(R"("rope_parameters":{"rope_theta":100000.0,"rope_type":"default"})").ropes[0];
  EXPECT_EQ(plain.type, RopeConfig::Type::default_);
  EXPECT_DOUBLE_EQ(plain.theta, 1e5);
  EXPECT_DOUBLE_EQ(llama(R"("rope_parameters":{"rope_theta":3e5})").ropes[0].theta, 3e5);
  const RopeConfig llama3 =
      llama(std::string(R"("rope_parameters":{"rope_type":"llama3","rope_theta":500000.0,)") + kLlama3 + "}")
          .ropes[0];
  EXPECT_EQ(llama3.type, RopeConfig::Type::llama3);
  EXPECT_DOUBLE_EQ(llama3.theta, 5e5);
  EXPECT_NO_THROW(llama(R"("rope_theta":100000,"rope_parameters":{"rope_theta":100000.0})"));
}

TEST(ModelConfig, RopeThatIsNotRunOrContradictsItself) {
  for (const char* type : {"dynamic", "mrope", "proportional"})
    expect_unsupported({"rope_scaling.rope_type", type, "default, linear, llama3, yarn, longrope"},
                       std::string(R"("rope_scaling":{"factor":2.0,"rope_type":")") + type + "\"}");
  expect_unsupported({"rope_parameters.beta_fast"}, R"("rope_parameters":{"beta_fast":32})");
  expect_unsupported({"rope_parameters.full_attention"},
                     R"("rope_parameters":{"full_attention":{"rope_theta":1e4}})");
  expect_invalid({"rope_parameters.partial_rotary_factor", "contradicts"},
                 R"("partial_rotary_factor":0.5,"rope_parameters":{"partial_rotary_factor":0.25})");
  expect_invalid({"rope_scaling.rope_type", "missing"}, R"("rope_scaling":{"factor":2.0})");
  expect_invalid({"rope_scaling.rope_type", "contradicts type"},
                 R"("rope_scaling":{"factor":2.0,"rope_type":"linear","type":"llama3"})");
  expect_invalid({"rope_parameters.rope_theta", "contradicts"},
                 R"("rope_theta":1e4,"rope_parameters":{"rope_theta":2e4})");
  expect_invalid({"rope_parameters", "contradicts rope_scaling"},
                 R"("rope_parameters":{"rope_theta":1e4},"rope_scaling":{"type":"linear","factor":2.0})");
}

TEST(ModelConfig, RopeNumbersAreChecked) {
  expect_invalid({"rope_scaling.factor", "missing"}, R"("rope_scaling":{"type":"linear"})");
  expect_invalid({"rope_scaling.factor", "0.5"}, R"("rope_scaling":{"type":"linear","factor":0.5})");
  expect_invalid({"rope_scaling.low_freq_factor", "missing"},
                 R"("rope_scaling":{"rope_type":"llama3","factor":8.0})");
  expect_invalid(
      {"rope_scaling.high_freq_factor", "more than low_freq_factor"},
      R"("rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":4.0,"high_freq_factor":4.0,)"
      R"("original_max_position_embeddings":8192})");
  expect_invalid(
      {"original_max_position_embeddings", "missing"},
      R"("rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0})");
  for (const char* theta : {"0", "-1", "1e300", "\"big\""})
    expect_invalid({"rope_theta"}, std::string("\"rope_theta\":") + theta);
}

TEST(ModelConfig, MistralsWindow) {
  const auto mistral = [](const std::string& members) {
    return read(llama_text(members, "MistralForCausalLM"));
  };
  EXPECT_EQ(mistral("\"sliding_window\":512").sliding_window, 512);
  EXPECT_EQ(mistral("\"sliding_window\":null").sliding_window, 0);
  EXPECT_EQ(mistral("").sliding_window, 4096);  // as transformers, where the member is absent
  EXPECT_EQ(
      mistral("\"sliding_window\":null,\"layer_types\":[\"full_attention\",\"full_attention\"]").sliding_window,
      0);
  expect_error(ErrorCode::invalid_file, {"sliding_window"}, [&] { mistral("\"sliding_window\":0"); });
  expect_error(ErrorCode::unsupported, {"layer_types[1]", "full_attention"},
               [&] { mistral(R"("sliding_window":8,"layer_types":["sliding_attention","full_attention"])"); });
  expect_error(ErrorCode::invalid_file, {"num_key_value_heads", "missing"},
               [] { read(llama_text("", "MistralForCausalLM", "num_key_value_heads")); });
}

}  // namespace
}  // namespace octet::model
