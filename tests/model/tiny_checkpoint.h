// A tiny Llama checkpoint with seeded random weights, written as Hugging Face would write it.
//
// For tests that need a whole model but not a meaningful one. The same options give the same bytes on
// every machine: the numbers come from a fixed generator, not from the standard library's distributions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "numeric/float16.h"

namespace octet::tests {

// A tensor beside the weights, in float32: a KV scale, for example.
struct TinyTensor {
  std::string name;
  std::vector<std::int64_t> shape;  // [] for a scalar
  std::vector<float> values;
};

struct TinyOptions {
  int num_layers = 2;
  int hidden_size = 32;
  int intermediate_size = 64;
  int num_heads = 4;
  int num_kv_heads = 2;
  int head_dim = 16;
  int vocab_size = 64;
  int max_position_embeddings = 256;
  bool tie_word_embeddings = false;
  bool bfloat16 = false;  // the weights' dtype; else float32
  std::uint64_t seed = 1;
  std::string extra_config = {};               // members for config.json: R"("rope_theta": 500000.0)"
  std::vector<TinyTensor> extra_tensors = {};  // always float32
  // The values of a matrix or norm that shall not be random, under its name; its dtype stays.
  std::vector<TinyTensor> replaced_tensors = {};
};

namespace tiny {

// Uniform in [-1, 1), 24 bits.
inline float uniform(std::mt19937_64& generator) {
  return static_cast<float>(generator() >> 40) * 0x1p-23f - 1.0f;
}

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

inline std::string config_json(const TinyOptions& o) {
  const auto number = [](const char* name, int value) {
    return std::string("  \"") + name + "\": " + std::to_string(value) + ",\n";
  };
  std::string json = "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n";
  json += number("vocab_size", o.vocab_size) + number("hidden_size", o.hidden_size);
  json += number("intermediate_size", o.intermediate_size) + number("num_hidden_layers", o.num_layers);
  json += number("num_attention_heads", o.num_heads) + number("num_key_value_heads", o.num_kv_heads);
  json += number("head_dim", o.head_dim) + number("max_position_embeddings", o.max_position_embeddings);
  json += number("bos_token_id", 1) + number("eos_token_id", 2);
  json += "  \"hidden_act\": \"silu\",\n  \"rms_norm_eps\": 1e-05,\n";
  if (!o.extra_config.empty()) json += "  " + o.extra_config + ",\n";
  json += std::string("  \"torch_dtype\": \"") + (o.bfloat16 ? "bfloat16" : "float32") + "\",\n";
  return json + "  \"tie_word_embeddings\": " + (o.tie_word_embeddings ? "true" : "false") + "\n}\n";
}

// Collects tensors and puts them behind a safetensors header.
class SafetensorsText {
 public:
  void add(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<float>& values,
           bool as_bfloat16) {
    const std::size_t begin = data_.size();
    for (const float value : values) append(value, as_bfloat16);
    header_ += (header_.empty() ? "" : ",") + std::string("\"") + name + "\":{\"dtype\":\"" +
               (as_bfloat16 ? "BF16" : "F32") + "\",\"shape\":[";
    for (std::size_t i = 0; i < shape.size(); ++i) header_ += (i ? "," : "") + std::to_string(shape[i]);
    header_ += "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data_.size()) + "]}";
  }

  std::string finish() const {
    std::string header = "{" + header_ + "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');  // so that the data stand aligned in the file
    std::string bytes(8, '\0');
    const std::uint64_t size = header.size();
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((size >> (8 * i)) & 0xffu);
    return bytes + header + data_;
  }

 private:
  void append(float value, bool as_bfloat16) {
    char bytes[4];
    const std::uint16_t half = octet::bfloat16::from_float(value).bits;
    std::memcpy(bytes, as_bfloat16 ? static_cast<const void*>(&half) : &value, as_bfloat16 ? 2 : 4);
    data_.append(bytes, as_bfloat16 ? 2 : 4);
  }

  std::string header_;
  std::string data_;
};

}  // namespace tiny

// Writes config.json and model.safetensors into `dir` (made where it is missing); returns its path.
inline std::string write_tiny_llama(const std::filesystem::path& dir, const TinyOptions& o = {}) {
  std::mt19937_64 generator(o.seed);
  tiny::SafetensorsText file;
  // Rows of about unit gain: attention and the output stay far from uniform, so that greedy choices have
  // margins that rounding cannot reach.
  const auto replace = [&](const std::string& name, std::vector<float>& values) {
    for (const TinyTensor& tensor : o.replaced_tensors)
      if (tensor.name == name) values = tensor.values;
  };
  const auto matrix = [&](const std::string& name, int rows, int cols, float gain) {
    std::vector<float> values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    for (float& value : values)
      value = gain * std::sqrt(3.0f / static_cast<float>(cols)) * tiny::uniform(generator);
    replace(name, values);
    file.add(name, {rows, cols}, values, o.bfloat16);
  };
  const auto norm = [&](const std::string& name) {
    std::vector<float> values(static_cast<std::size_t>(o.hidden_size));
    for (float& value : values) value = 1.0f + 0.2f * tiny::uniform(generator);
    replace(name, values);
    file.add(name, {o.hidden_size}, values, o.bfloat16);
  };

  matrix("model.embed_tokens.weight", o.vocab_size, o.hidden_size, 5.0f);
  for (int layer = 0; layer < o.num_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    norm(prefix + "input_layernorm.weight");
    matrix(prefix + "self_attn.q_proj.weight", o.num_heads * o.head_dim, o.hidden_size, 2.0f);
    matrix(prefix + "self_attn.k_proj.weight", o.num_kv_heads * o.head_dim, o.hidden_size, 2.0f);
    matrix(prefix + "self_attn.v_proj.weight", o.num_kv_heads * o.head_dim, o.hidden_size, 2.0f);
    matrix(prefix + "self_attn.o_proj.weight", o.hidden_size, o.num_heads * o.head_dim, 1.5f);
    norm(prefix + "post_attention_layernorm.weight");
    matrix(prefix + "mlp.gate_proj.weight", o.intermediate_size, o.hidden_size, 1.5f);
    matrix(prefix + "mlp.up_proj.weight", o.intermediate_size, o.hidden_size, 1.5f);
    matrix(prefix + "mlp.down_proj.weight", o.hidden_size, o.intermediate_size, 1.5f);
  }
  norm("model.norm.weight");
  if (!o.tie_word_embeddings) matrix("lm_head.weight", o.vocab_size, o.hidden_size, 3.0f);
  for (const TinyTensor& tensor : o.extra_tensors) file.add(tensor.name, tensor.shape, tensor.values, false);

  std::filesystem::create_directories(dir);
  tiny::write_file(dir / "config.json", tiny::config_json(o));
  tiny::write_file(dir / "model.safetensors", file.finish());
  return dir.string();
}

}  // namespace octet::tests
