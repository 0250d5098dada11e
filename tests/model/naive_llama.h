// A Llama written for reading, not for speed: double arithmetic, no cache, no blocks, one position after
// another. The oracle for the real forward pass.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "files/checkpoint.h"
#include "kv/kv_scales.h"
#include "model/config.h"
#include "model/rope.h"
#include "numeric/fp8.h"
#include "numeric/per_token_head.h"

namespace octet::tests {

using Row = std::vector<double>;

class NaiveLlama {
 public:
  explicit NaiveLlama(const std::string& directory)
      : checkpoint_(files::Checkpoint::open(directory)),
        config_(model::read_model_config(checkpoint_.config())) {}

  // What the cache's type does to a key or value.
  static double store(double value, KvDtype dtype, float scale) {
    const float stored = static_cast<float>(value) / scale;
    switch (dtype) {
      case KvDtype::float32:
        return value;
      case KvDtype::float16:
        return float16::from_float(stored).to_float() * static_cast<double>(scale);
      case KvDtype::bfloat16:
        return bfloat16::from_float(stored).to_float() * static_cast<double>(scale);
      case KvDtype::fp8_e4m3:
        return fp8_e4m3::from_float(stored).to_float() * static_cast<double>(scale);
      case KvDtype::fp8_e5m2:
        return fp8_e5m2::from_float(stored).to_float() * static_cast<double>(scale);
      case KvDtype::int8_per_token_head:
      case KvDtype::int8_hadamard_per_token_head:
      case KvDtype::fp8_per_token_head:
        break;  // store_vector
    }
    return value;
  }

  // The same to one head's key or value x [d] of a dtype that is_per_token_head.
  static void store_vector(double* x, std::size_t d, KvDtype dtype, bool key) {
    const bool turned = key && is_hadamard(dtype);
    if (turned) turn(x, d);
    double absmax = 0;
    for (std::size_t i = 0; i < d; ++i) absmax = std::max(absmax, std::abs(x[i]));
    const bfloat16 scale = vector_scale(dtype, static_cast<float>(absmax));
    for (std::size_t i = 0; i < d; ++i)
      x[i] = vector_value(dtype, vector_code(dtype, static_cast<float>(x[i]), scale), scale);
    if (turned) turn(x, d);
  }

  // The orthonormal Hadamard matrix times x, by its definition; d is a power of two. It is its own inverse.
  static void turn(double* x, std::size_t d) {
    const Row before(x, x + d);
    for (std::size_t i = 0; i < d; ++i) {
      x[i] = 0;
      for (std::size_t j = 0; j < d; ++j) x[i] += std::popcount(i & j) % 2 == 0 ? before[j] : -before[j];
      x[i] /= std::sqrt(static_cast<double>(d));
    }
  }

  // Logits [ids.size()][V].
  std::vector<Row> logits(const std::vector<std::int32_t>& ids, KvDtype dtype, const kv::KvScales& scales) {
    const std::vector<float> embedding = tensor("model.embed_tokens.weight");
    std::vector<Row> hidden;
    for (const std::int32_t id : ids) {
      const auto* row = embedding.data() + static_cast<std::ptrdiff_t>(id) * config_.hidden_size;
      hidden.emplace_back(row, row + config_.hidden_size);
    }
    for (int layer = 0; layer < config_.num_layers; ++layer)
      run_layer(layer, hidden, dtype, scales.layers[static_cast<std::size_t>(layer)]);
    std::vector<Row> out;
    const std::string head = config_.tie_word_embeddings ? "model.embed_tokens" : "lm_head";
    for (const Row& row : hidden) out.push_back(multiply(head, norm("model.norm.weight", row)));
    return out;
  }

 private:
  std::vector<float> tensor(const std::string& name) const { return checkpoint_.at(name).to_floats(); }

  Row multiply(const std::string& name, const Row& x) const {
    const std::vector<float> w = tensor(name + ".weight");
    Row y(w.size() / x.size(), 0.0);
    for (std::size_t r = 0; r < y.size(); ++r)
      for (std::size_t c = 0; c < x.size(); ++c) y[r] += static_cast<double>(w[r * x.size() + c]) * x[c];
    if (checkpoint_.find(name + ".bias") != nullptr) {
      const std::vector<float> bias = tensor(name + ".bias");
      for (std::size_t r = 0; r < y.size(); ++r) y[r] += static_cast<double>(bias[r]);
    }
    return y;
  }

  Row norm(const std::string& name, const Row& x) const {
    const std::vector<float> gain = tensor(name);
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double factor =
        1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(config_.rms_norm_eps));
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * factor * static_cast<double>(gain[i]);
    return y;
  }

  void rotate(Row& x, int position) const {
    const std::vector<float> frequencies =
        model::rope_frequencies(config_.ropes[0], config_.max_position_embeddings).inverse_frequencies;
    const std::size_t half = frequencies.size();
    for (std::size_t head = 0; head < x.size(); head += 2 * half) {
      for (std::size_t i = 0; i < half; ++i) {
        const auto angle = static_cast<double>(static_cast<float>(position) * frequencies[i]);
        const double a = x[head + i], b = x[head + half + i];
        x[head + i] = a * std::cos(angle) - b * std::sin(angle);
        x[head + half + i] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }

  void run_layer(int layer, std::vector<Row>& hidden, KvDtype dtype, const kv::LayerScales& scales) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const auto d = static_cast<std::size_t>(config_.head_dim);
    std::vector<Row> q, k, v;
    for (std::size_t t = 0; t < hidden.size(); ++t) {
      const Row x = norm(prefix + "input_layernorm.weight", hidden[t]);
      q.push_back(multiply(prefix + "self_attn.q_proj", x));
      k.push_back(multiply(prefix + "self_attn.k_proj", x));
      v.push_back(multiply(prefix + "self_attn.v_proj", x));
      rotate(q.back(), static_cast<int>(t));
      rotate(k.back(), static_cast<int>(t));
      for (std::size_t i = 0; i < k.back().size(); i += d) {
        if (!is_per_token_head(dtype)) break;
        store_vector(&k.back()[i], d, dtype, true);
        store_vector(&v.back()[i], d, dtype, false);
      }
      for (std::size_t i = 0; i < k.back().size(); ++i) {
        k.back()[i] = store(k.back()[i], dtype, scales.k[i / d]);
        v.back()[i] = store(v.back()[i], dtype, scales.v[i / d]);
      }
    }
    for (std::size_t t = 0; t < hidden.size(); ++t) {
      const Row o = multiply(prefix + "self_attn.o_proj", attend(q[t], k, v, t));
      for (std::size_t i = 0; i < o.size(); ++i) hidden[t][i] += o[i];
      const Row x = norm(prefix + "post_attention_layernorm.weight", hidden[t]);
      Row gate = multiply(prefix + "mlp.gate_proj", x);
      const Row up = multiply(prefix + "mlp.up_proj", x);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      const Row down = multiply(prefix + "mlp.down_proj", gate);
      for (std::size_t i = 0; i < down.size(); ++i) hidden[t][i] += down[i];
    }
  }

  Row attend(const Row& q, const std::vector<Row>& k, const std::vector<Row>& v, std::size_t position) const {
    const auto d = static_cast<std::size_t>(config_.head_dim);
    const auto window = static_cast<std::size_t>(config_.sliding_window);
    const std::size_t first = window > 0 && position + 1 > window ? position + 1 - window : 0;
    Row out(q.size(), 0.0);
    for (std::size_t head = 0; head < q.size() / d; ++head) {
      const std::size_t kv_head = head / static_cast<std::size_t>(config_.group());
      Row weights;
      double sum = 0;
      for (std::size_t s = first; s <= position; ++s) {
        double score = 0;
        for (std::size_t i = 0; i < d; ++i) score += q[head * d + i] * k[s][kv_head * d + i];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
        sum += weights.back();
      }
      for (std::size_t s = first; s <= position; ++s)
        for (std::size_t i = 0; i < d; ++i)
          out[head * d + i] += weights[s - first] / sum * v[s][kv_head * d + i];
    }
    return out;
  }

  files::Checkpoint checkpoint_;
  model::ModelConfig config_;
};

}  // namespace octet::tests
