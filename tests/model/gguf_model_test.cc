// A model from a GGUF file computes what it computes from its Hugging Face checkpoint: the tiny checkpoints
// written as GGUF, as llama.cpp's converter would.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "files/checkpoint.h"
#include "files/gguf_builder.h"
#include "files/safetensors_builder.h"
#include "model/sequence_runner.h"

namespace octet::tests {
namespace {

using files::Checkpoint;
using files::JsonValue;
using files::TensorDtype;
using files::TensorView;

constexpr std::uint32_t kF32 = 0, kQ8 = 8;

// How a file has a mixture's experts: one behind the other in one tensor, gate and up of each beside one
// another there, or each in a tensor of its own.
enum class Experts { stacked, gate_up, alone };

std::string gguf_name(std::string name, Experts experts, bool gemma) {
  static const std::regex expert(R"((mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+))");
  static const std::regex gate_or_up("ffn_(gate|up)_exps");
  std::smatch number;
  const bool is_expert = std::regex_search(name, number, expert);
  const std::string alone = is_expert ? "." + number.str(2) : "";
  name = std::regex_replace(name, expert, "exps.$3");
  const std::pair<const char*, const char*> parts[] = {
      {"model.layers.", "blk."},
      {"model.embed_tokens", "token_embd"},
      {"model.norm", "output_norm"},
      {"lm_head", "output"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.qkv_proj", "attn_qkv"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"input_layernorm", "attn_norm"},
      {"post_attention_layernorm", gemma ? "post_attention_norm" : "ffn_norm"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.gate_up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
      {"mlp.gate.", "ffn_gate_inp."},
      {"block_sparse_moe.gate.", "ffn_gate_inp."},
      {"exps.gate_proj", "ffn_gate_exps"},
      {"exps.w1", "ffn_gate_exps"},
      {"exps.up_proj", "ffn_up_exps"},
      {"exps.w3", "ffn_up_exps"},
      {"exps.down_proj", "ffn_down_exps"},
      {"exps.w2", "ffn_down_exps"}};
  for (const auto& [from, to] : parts)
    if (const std::size_t at = name.find(from); at != std::string::npos)
      name.replace(at, std::strlen(from), to);
  if (is_expert && experts == Experts::alone) name.replace(name.find("_exps"), 5, alone);
  if (experts == Experts::gate_up) name = std::regex_replace(name, gate_or_up, "ffn_gate_up_exps");
  return name;
}

// Rows of a head from [half, pair] to [pair, half].
std::string interleave(const std::string& bytes, std::int64_t rows, std::int64_t heads) {
  const std::size_t row_bytes = bytes.size() / static_cast<std::size_t>(rows);
  const std::int64_t half = rows / heads / 2;
  std::string out;
  for (std::int64_t head = 0; head < heads; ++head)
    for (std::int64_t pair = 0; pair < half; ++pair)
      for (std::int64_t which = 0; which < 2; ++which)
        out += bytes.substr(static_cast<std::size_t>((head * 2 + which) * half + pair) * row_bytes, row_bytes);
  return out;
}

// Q8_0 of numbers that are k / 64 with whole k: its scale is 1 / 64, and nothing is rounded.
std::string q8_blocks(const std::vector<float>& values) {
  std::string bytes;
  for (std::size_t i = 0; i < values.size(); i += 32) {
    bytes += little_endian(float16::from_float(1.0f / 64.0f).bits);
    for (std::size_t j = 0; j < 32; ++j)
      bytes += static_cast<char>(static_cast<std::int8_t>(values[i + j] * 64.0f));
  }
  return bytes;
}

// Matrices rounded to multiples of 1/64 in both, so that Q8_0 holds them exactly.
std::vector<float> rounded(const TensorView& tensor) {
  std::vector<float> values = tensor.to_floats();
  for (float& value : values) value = std::clamp(std::nearbyint(value * 64.0f), -127.0f, 127.0f) / 64.0f;
  return values;
}

// Gains of Gemma's norms, as the file has them.
std::vector<float> one_added(std::vector<float> values) {
  for (float& value : values) value += 1.0f;
  return values;
}

// A folder of tests/data/tiny, and what llama.cpp calls its architecture.
struct Tiny {
  const char* folder;
  std::string architecture;
  Experts experts = Experts::stacked;
};

class GgufModel : public ::testing::TestWithParam<Tiny> {
 protected:
  const std::string& architecture() const { return GetParam().architecture; }
  bool gemma() const { return architecture().starts_with("gemma"); }

  void write_metadata(const JsonValue& config, GgufBuilder& gguf) {
    const std::string prefix = GetParam().architecture + ".";
    const auto number = [&](const char* key, const char* member) {
      if (const auto value = config.find(member); value && !value->is_null())
        gguf.number(prefix + key, static_cast<std::uint32_t>(value->as_int()));
    };
    const auto real = [&](const char* key, double value) {
      gguf.real(prefix + key, static_cast<float>(value));
    };
    gguf.text("general.architecture", GetParam().architecture);
    number("embedding_length", "hidden_size");
    number("feed_forward_length", "intermediate_size");
    number("block_count", "num_hidden_layers");
    number("attention.head_count", "num_attention_heads");
    number("attention.head_count_kv", "num_key_value_heads");
    number("context_length", "max_position_embeddings");
    number("attention.key_length", "head_dim");
    number("expert_count", "num_local_experts");
    number("expert_used_count", "num_experts_per_tok");
    number("expert_feed_forward_length", "moe_intermediate_size");
    real("attention.layer_norm_rms_epsilon", config.at("rms_norm_eps").as_double());
    const JsonValue rope = config.at("rope_parameters");
    const auto global = rope.find("full_attention");
    real("rope.freq_base", (global ? *global : rope).at("rope_theta").as_double());
    if (architecture() == "phi3") write_longrope(config, gguf);
    if (architecture() == "llama" || gemma()) number("attention.sliding_window", "sliding_window");
    if (architecture() == "gemma2") {
      real("attn_logit_softcapping", config.at("attn_logit_softcapping").as_double());
      real("final_logit_softcapping", config.at("final_logit_softcapping").as_double());
    }
    if (architecture() == "gemma3") {
      gguf.number("gemma3.attention.sliding_window_pattern", 3);  // as its layer_types
      real("rope.freq_base_swa", rope.at("sliding_attention").at("rope_theta").as_double());
    }
  }

  void write_longrope(const JsonValue& config, GgufBuilder& gguf) {
    const JsonValue rope = config.at("rope_parameters");
    const double original = rope.at("original_max_position_embeddings").as_double();
    const double factor = config.at("max_position_embeddings").as_double() / original;
    gguf.number("phi3.rope.dimension_count", 12)  // 0.75 of 16
        .number("phi3.rope.scaling.original_context_length", static_cast<std::uint32_t>(original))
        .real("phi3.rope.scaling.attn_factor",
              static_cast<float>(std::sqrt(1.0 + std::log(factor) / std::log(original))))
        .number("phi3.attention.sliding_window", 0);
    for (const char* which : {"long", "short"}) {
      std::vector<float> factors;
      for (const JsonValue& value : rope.at(std::string(which) + "_factor").elements())
        factors.push_back(static_cast<float>(value.as_double()));
      gguf.tensor("rope_factors_" + std::string(which) + ".weight", kF32,
                  {static_cast<std::int64_t>(factors.size())}, SafetensorsBuilder::bytes_of(factors));
    }
  }

  // Writes the tiny checkpoint with rounded matrices as safetensors and as GGUF; `quantized`: matrices in Q8_0,
  // where their rows are whole blocks.
  void write(const Checkpoint& source, bool quantized) {
    // GGUF does not say what scores are divided by; as most models, the root of head_dim.
    static const std::regex scalar(R"("query_pre_attn_scalar": *\d+)");
    const JsonValue config = JsonValue::parse(
        std::regex_replace(source.config().dump(), scalar, R"("query_pre_attn_scalar":32)"), "config.json");
    const bool interleaved = architecture() == "llama" || architecture() == "smollm3";
    GgufBuilder gguf;
    SafetensorsBuilder plain;
    write_metadata(config, gguf);
    struct Written {
      std::uint32_t type;
      std::vector<std::int64_t> shape;
      std::string bytes;
    };
    std::map<std::string, Written> tensors;
    // By name: the gate of an expert (gate_proj, w1) comes before its up (up_proj, w3).
    for (const TensorView& tensor : source.tensors()) {
      const bool matrix = tensor.shape.size() == 2, q8 = quantized && matrix && tensor.shape[1] % 32 == 0;
      const std::vector<float> values = matrix ? rounded(tensor) : tensor.to_floats();
      plain.floats(tensor.name, tensor.shape, values);
      std::string bytes = q8 ? q8_blocks(values) : SafetensorsBuilder::bytes_of(values);
      if (gemma() && !matrix) bytes = SafetensorsBuilder::bytes_of(one_added(values));
      const bool q = tensor.name.find("q_proj") != std::string::npos,
                 k = tensor.name.find("k_proj") != std::string::npos;
      if (interleaved && (q || k))
        bytes = interleave(bytes, tensor.shape[0],
                           config.at(q ? "num_attention_heads" : "num_key_value_heads").as_int());
      Written& written = tensors
                             .try_emplace(gguf_name(tensor.name, GetParam().experts, gemma()), q8 ? kQ8 : kF32,
                                          tensor.shape, "")
                             .first->second;
      written.bytes += bytes;
      if (tensor.name.find(".experts.") == std::string::npos || GetParam().experts == Experts::alone) continue;
      if (written.shape.size() == 2) written.shape.insert(written.shape.begin(), 0);
      ++written.shape[0];
    }
    for (auto& [name, written] : tensors)
      if (name.find("gate_up_exps") != std::string::npos) {  // counted twice an expert
        written.shape[0] /= 2;
        written.shape[1] *= 2;
      }
    for (const auto& [name, written] : tensors) gguf.tensor(name, written.type, written.shape, written.bytes);
    folder_.write("model.safetensors", plain.finish());
    folder_.write("config.json", config.dump());
    folder_.write("model.gguf", gguf.finish());
  }

  std::vector<float> logits(const std::string& path) {
    SequenceRunner runner(path, {});
    RunnerSequence sequence;
    std::vector<std::int32_t> ids;
    // More than a window but for the tiny qwen2, for whose window GGUF has no key.
    const int count = architecture() == "qwen2" ? 20 : 40;
    for (int i = 0; i < count; ++i) ids.push_back(i * 37 % runner.config().vocab_size);
    std::vector<float> all = runner.step({{&sequence, ids}}, true);
    const std::vector<float> last = runner.step({{&sequence, {7}}}, false);
    all.insert(all.end(), last.begin(), last.end());
    return all;
  }

  TempFolder folder_;
};

TEST_P(GgufModel, ComputesWhatItsCheckpointComputes) {
  const Checkpoint source =
      Checkpoint::open(std::string(OCTET_SOURCE_DIR "/tests/data/tiny/") + GetParam().folder);
  // Factors that GGUF rounds to float32.
  const float most = architecture() == "phi3" ? 1e-4f : 0.0f;
  for (const bool quantized : {false, true}) {
    write(source, quantized);
    const std::vector<float> found = logits(folder_.file("model.gguf")), expected = logits(folder_.path());
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      ASSERT_NEAR(found[i], expected[i], most) << "logit " << i << ", quantized " << quantized;
  }
}

std::string name_of(const ::testing::TestParamInfo<Tiny>& test) {
  constexpr const char* kLayouts[] = {"", "_gate_up", "_alone"};
  return test.param.folder + std::string(kLayouts[static_cast<std::size_t>(test.param.experts)]);
}

INSTANTIATE_TEST_SUITE_P(
    Tiny, GgufModel,
    ::testing::Values(Tiny{"llama", "llama"}, Tiny{"mistral", "llama"}, Tiny{"gemma2", "gemma2"},
                      Tiny{"gemma3", "gemma3"}, Tiny{"qwen2", "qwen2"}, Tiny{"qwen3", "qwen3"},
                      Tiny{"phi3", "phi3"}, Tiny{"smollm3", "smollm3"}, Tiny{"mixtral", "llama"},
                      Tiny{"mixtral", "llama", Experts::alone}, Tiny{"mixtral", "llama", Experts::gate_up},
                      Tiny{"qwen3_moe", "qwen3moe"}, Tiny{"qwen3_moe", "qwen3moe", Experts::gate_up}),
    name_of);

}  // namespace
}  // namespace octet::tests
