#include "model/step.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

#include "base/error.h"
#include "kernels/hadamard.h"

namespace octet::model {

namespace {

// Below this many floats a parallel loop costs more than it saves.
constexpr std::int64_t kParallelFloats = 16384;

// Runs task(token) for every token, over the threads where the rows are many.
template <typename Task>
void for_each_token(Step& step, int num_tokens, int row_floats, Task&& task) {
  if (static_cast<std::int64_t>(num_tokens) * row_floats < kParallelFloats) {
    for (int t = 0; t < num_tokens; ++t) task(t);
    return;
  }
  constexpr int kRows = 8;  // tokens a task
  step.pool.run(static_cast<std::size_t>((num_tokens + kRows - 1) / kRows), [&](std::size_t index, int) {
    const int first = static_cast<int>(index) * kRows;
    const int last = first + kRows < num_tokens ? first + kRows : num_tokens;
    for (int t = first; t < last; ++t) task(t);
  });
}

void compute_angles(const BatchPlan& plan, const RopeFrequencies& rope, AlignedFloats& cosines,
                    AlignedFloats& sines) {
  const std::size_t tokens = plan.positions.size(), half = rope.inverse_frequencies.size();
  float* cos = cosines.reserve(tokens * half);
  float* sin = sines.reserve(tokens * half);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t i = 0; i < half; ++i) {
      // The angle is rounded to float first: so does the reference implementation.
      const float angle = static_cast<float>(plan.positions[t]) * rope.inverse_frequencies[i];
      cos[t * half + i] = std::cos(angle) * rope.scale;
      sin[t * half + i] = std::sin(angle) * rope.scale;
    }
  }
}

// gelu_pytorch_tanh(x) = x * sigmoid(z) with z = 2 sqrt(2 / pi) (x + 0.044715 x^3). Leaves z in `gate` and up *
// x / z in `up`, so that silu(gate) * up is gelu(x) * up.
void gelu_as_silu(float* gate, float* up, int size) {
  constexpr float kFactor = 1.5957691216057308f;
  for (int i = 0; i < size; ++i) {
    // Where the sigmoid has long been 0 or 1, so that z stays finite.
    const float cubic = std::min(1.0f + 0.044715f * gate[i] * gate[i], 1e6f);
    gate[i] *= kFactor * cubic;
    up[i] /= kFactor * cubic;
  }
}

// Turns all heads of q and k of one token, which stand side by side.
void rotate_heads(Step& step, int layer, int token, float* q) {
  const ModelConfig& c = step.config;
  const int rope = step.layer_config(layer).rope;
  if (rope == LayerConfig::kNoRope) return;
  const auto index = static_cast<std::size_t>(rope);
  const int rotary_dim = c.ropes[index].rotary_dim;
  const std::int64_t angles = static_cast<std::int64_t>(token) * (rotary_dim / 2);
  const float* cos = step.workspace.cos[index].data() + angles;
  const float* sin = step.workspace.sin[index].data() + angles;
  const int heads = c.num_heads + c.num_kv_heads;
  if (rotary_dim == c.head_dim) {
    step.table.rope(q, cos, sin, heads, c.head_dim);
    return;
  }
  for (int head = 0; head < heads; ++head) step.table.rope(q + head * c.head_dim, cos, sin, 1, rotary_dim);
}

}  // namespace

void AlignedFloats::Free::operator()(float* data) const { std::free(data); }

float* AlignedFloats::reserve(std::size_t size) {
  if (size > size_) {
    const std::size_t bytes = (size * sizeof(float) + 63) / 64 * 64;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    if (data_ == nullptr)
      throw Error(ErrorCode::out_of_memory, "cannot allocate " + std::to_string(bytes) + " bytes", "workspace");
    size_ = size;
  }
  return data_.get();
}

void Step::begin(const BatchPlan& batch, kv::KvCache& kv_cache, std::span<const RopeFrequencies> ropes) {
  plan = &batch;
  cache = &kv_cache;
  const auto tokens = static_cast<std::size_t>(batch.num_tokens());
  const auto width = [](int size) { return static_cast<std::size_t>(size); };
  workspace.hidden.reserve(tokens * width(config.hidden_size));
  workspace.normed.reserve(tokens * width(config.hidden_size));
  workspace.projected.reserve(tokens * width(config.hidden_size));
  workspace.qkv.reserve(tokens * width((config.num_heads + 2 * config.num_kv_heads) * config.head_dim));
  workspace.attention.reserve(tokens * width(config.num_heads * config.head_dim));
  workspace.gate_up.reserve(tokens * 2 * width(config.intermediate_size));
  workspace.thread_scratch.resize(static_cast<std::size_t>(pool.num_threads()));

  workspace.cos.resize(ropes.size());
  workspace.sin.resize(ropes.size());
  for (std::size_t r = 0; r < ropes.size(); ++r)
    compute_angles(batch, ropes[r], workspace.cos[r], workspace.sin[r]);
  plan_attention(*this);
}

void rms_norm(Step& step, float* out, const float* x, const std::vector<float>& gain, int num_tokens) {
  const int size = static_cast<int>(gain.size());
  for_each_token(step, num_tokens, size, [&](int t) {
    const std::int64_t row = static_cast<std::int64_t>(t) * size;
    step.table.rms_norm(out + row, x + row, gain.data(), size, step.config.rms_norm_eps);
  });
}

void rotate_and_store(Step& step, int layer, float* qkv) {
  const ModelConfig& c = step.config;
  const int q_width = c.num_heads * c.head_dim;
  const int kv_width = c.num_kv_heads * c.head_dim;
  const int row_width = q_width + 2 * kv_width;
  const kernels::KvView& view = step.cache->view(layer);
  const std::int64_t* slots = step.plan->slot_mapping.data() +
                              static_cast<std::int64_t>(step.cache->group_of(layer)) * step.num_tokens();
  const auto rotate = [&](int t) {
    rotate_heads(step, layer, t, qkv + static_cast<std::int64_t>(t) * row_width);
  };
  const auto store = [&](int t) {
    // Queries and keys alike, so that their products stay what they are.
    if (is_hadamard(view.k_dtype))
      kernels::hadamard(qkv + static_cast<std::int64_t>(t) * row_width, c.num_heads + c.num_kv_heads,
                        c.head_dim);
    const float* k = qkv + static_cast<std::int64_t>(t) * row_width + q_width;
    step.cache->count_saturated(layer, k, k + kv_width);
    step.table.store_kv({k, k + kv_width, &view, slots[t]});
  };
  const int tokens = step.num_tokens();
  if (step.observer == nullptr) {
    for_each_token(step, tokens, row_width, [&](int t) {
      rotate(t);
      store(t);
    });
    return;
  }
  // The observer may set the layer's scales from what it sees, so nothing is stored before.
  for_each_token(step, tokens, row_width, rotate);
  step.observer->observe_qkv(layer, {qkv, row_width, tokens, c.num_heads, c.head_dim},
                             {qkv + q_width, row_width, tokens, c.num_kv_heads, c.head_dim},
                             {qkv + q_width + kv_width, row_width, tokens, c.num_kv_heads, c.head_dim});
  for_each_token(step, tokens, row_width, store);
}

void norm_heads(Step& step, const LayerWeights& weights, float* qkv) {
  const ModelConfig& c = step.config;
  const int row_width = (c.num_heads + 2 * c.num_kv_heads) * c.head_dim;
  for_each_token(step, step.num_tokens(), row_width, [&](int t) {
    float* head = qkv + static_cast<std::int64_t>(t) * row_width;
    for (int h = 0; h < c.num_heads + c.num_kv_heads; ++h, head += c.head_dim) {
      const std::vector<float>& gain = h < c.num_heads ? weights.q_norm : weights.k_norm;
      step.table.rms_norm(head, head, gain.data(), c.head_dim, c.rms_norm_eps);
    }
  });
}

void activate(Step& step, float* gate_up, int size, int num_tokens) {
  for_each_token(step, num_tokens, 4 * size, [&](int t) {
    float* gate = gate_up + static_cast<std::int64_t>(t) * 2 * size;
    if (step.config.activation == Activation::gelu_pytorch_tanh) gelu_as_silu(gate, gate + size, size);
    step.table.silu_mul(gate, gate, gate + size, size);
  });
}

void add(Step& step, float* x, const float* y, int num_tokens) {
  const int size = step.config.hidden_size;
  for_each_token(step, num_tokens, size, [&](int t) {
    const std::int64_t row = static_cast<std::int64_t>(t) * size;
    step.table.add(x + row, y + row, size);
  });
}

}  // namespace octet::model
