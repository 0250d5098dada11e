// A model from a GGUF file computes what it computes from its Hugging Face checkpoint: the tiny checkpoints
// written as GGUF, as llama.cpp's converter would.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
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

std::string gguf_name(std::string name) {
  const std::pair<const char*, const char*> parts[] = {
      {"model.layers.", "blk."},           {"model.embed_tokens", "token_embd"},
      {"model.norm", "output_norm"},       {"lm_head", "output"},
      {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
      {"input_layernorm", "attn_norm"},    {"post_attention_layernorm", "ffn_norm"},
      {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"}};
  for (const auto& [from, to] : parts)
    if (const std::size_t at = name.find(from); at != std::string::npos)
      name.replace(at, std::strlen(from), to);
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

class GgufModel : public ::testing::TestWithParam<std::string> {
 protected:
  // Writes the tiny checkpoint with rounded matrices as safetensors and as GGUF; `quantized`: matrices in Q8_0.
  void write(const Checkpoint& source, bool quantized) {
    const JsonValue& config = source.config();
    const std::string family = GetParam();
    GgufBuilder gguf;
    SafetensorsBuilder plain;
    const auto number = [&](const char* key, const char* member) {
      gguf.number(family + "." + key, static_cast<std::uint32_t>(config.at(member).as_int()));
    };
    gguf.text("general.architecture", family);
    number("embedding_length", "hidden_size");
    number("feed_forward_length", "intermediate_size");
    number("block_count", "num_hidden_layers");
    number("attention.head_count", "num_attention_heads");
    number("attention.head_count_kv", "num_key_value_heads");
    number("context_length", "max_position_embeddings");
    if (config.find("head_dim")) number("attention.key_length", "head_dim");
    gguf.real(family + ".attention.layer_norm_rms_epsilon",
              static_cast<float>(config.at("rms_norm_eps").as_double()));
    gguf.real(family + ".rope.freq_base",
              static_cast<float>(config.at("rope_parameters").at("rope_theta").as_double()));
    for (const TensorView& tensor : source.tensors()) {
      const bool matrix = tensor.shape.size() == 2;
      const std::vector<float> values = matrix ? rounded(tensor) : tensor.to_floats();
      plain.floats(tensor.name, tensor.shape, values);
      std::string bytes = matrix && quantized ? q8_blocks(values) : SafetensorsBuilder::bytes_of(values);
      const bool q = tensor.name.find("q_proj") != std::string::npos,
                 k = tensor.name.find("k_proj") != std::string::npos;
      if (family == "llama" && (q || k))
        bytes = interleave(bytes, tensor.shape[0],
                           config.at(q ? "num_attention_heads" : "num_key_value_heads").as_int());
      gguf.tensor(gguf_name(tensor.name), matrix && quantized ? kQ8 : kF32, tensor.shape, bytes);
    }
    folder_.write("model.safetensors", plain.finish());
    folder_.write("config.json", config.dump());
    folder_.write("model.gguf", gguf.finish());
  }

  std::vector<float> logits(const std::string& path) {
    SequenceRunner runner(path, {});
    RunnerSequence sequence;
    std::vector<std::int32_t> ids;
    // Fewer than the window of the tiny qwen2, which GGUF has no key for.
    for (int i = 0; i < 20; ++i) ids.push_back(i * 37 % runner.config().vocab_size);
    std::vector<float> all = runner.step({{&sequence, ids}}, true);
    const std::vector<float> last = runner.step({{&sequence, {7}}}, false);
    all.insert(all.end(), last.begin(), last.end());
    return all;
  }

  TempFolder folder_;
};

TEST_P(GgufModel, ComputesWhatItsCheckpointComputes) {
  const Checkpoint source = Checkpoint::open(OCTET_SOURCE_DIR "/tests/data/tiny/" + GetParam());
  for (const bool quantized : {false, true}) {
    write(source, quantized);
    EXPECT_EQ(logits(folder_.file("model.gguf")), logits(folder_.path())) << "quantized " << quantized;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, GgufModel, ::testing::Values("llama", "qwen2", "qwen3"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace octet::tests
