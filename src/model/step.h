// Step: what all layers of one forward step share: the plan, the cache, kernels, threads and workspace;
// and the parts that architectures are built from, each over all tokens of the step and all threads.
//
// T is the number of tokens in the step. Buffers are float32, 64-byte aligned, rows of the stated width.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "kv/kv_cache.h"
#include "model/attention_observer.h"
#include "model/batch_plan.h"
#include "model/config.h"
#include "model/rope.h"
#include "model/weights.h"

namespace octet::model {

// A 64-byte aligned float array that only ever grows.
class AlignedFloats {
 public:
  // At least `size` floats; the contents are lost when it grows.
  float* reserve(std::size_t size);
  float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* data) const;
  };
  std::unique_ptr<float, Free> data_;
  std::size_t size_ = 0;
};

// Buffers that live from step to step, so that a step in steady state allocates none of them.
struct Workspace {
  AlignedFloats hidden;                       // [T, D]
  AlignedFloats normed;                       // [T, D]
  AlignedFloats qkv;                          // [T, (H + 2K) * d]
  AlignedFloats attention;                    // [T, H * d]
  AlignedFloats gate_up;                      // [T, 2F]
  AlignedFloats projected;                    // [T, D]
  AlignedFloats logits;                       // [L, V]
  AlignedFloats router;                       // [T, E]
  AlignedFloats expert_in, expert_out;        // [T, D]
  std::vector<AlignedFloats> cos, sin;        // of each of the config's ropes, [T, rotary_dim / 2]
  AlignedFloats partial_out;                  // [decode items, H, d]
  AlignedFloats partial_max, partial_sum;     // [decode items, H]
  AlignedFloats bfloats;                      // [T, columns] of bfloat16: rounded activations
  AlignedFloats rounded;                      // [T, columns]: the same as floats, where a kernel wants them so
  AlignedFloats packed;                       // [T, columns rounded up to 8] in the order of a table's gemm
  std::vector<AlignedFloats> thread_scratch;  // [threads]
};

// One piece of decode attention: all KV heads of one sequence over positions [begin, end).
struct DecodeItem {
  int seq, token, begin, end;
};
// One KV head's part of the pieces [first, first + count) of one token.
struct MergeItem {
  int token, kv_head, first, count;
};
// One piece of prefill attention: query tokens [token, token + num_queries) of one sequence.
struct PrefillItem {
  int seq, token, kv_head, num_queries;
};

// The pieces of all layers that have the same window: planned once a step.
struct AttentionPieces {
  int window;  // LayerConfig::sliding_window
  std::vector<DecodeItem> decode_items{};
  int tasks_an_item = 1;  // that share a decode item's KV heads
  std::vector<MergeItem> merge_items{};
  std::vector<PrefillItem> prefill_items{};
};

struct Step {
  const ModelConfig& config;
  const kernels::KernelTable& table;
  ThreadPool& pool;
  Workspace& workspace;
  Dtype dtype = Dtype::float32;  // of activations in the linear layers: Model::set_dtype
  const BatchPlan* plan = nullptr;
  kv::KvCache* cache = nullptr;
  kernels::AttentionMath math = kernels::AttentionMath::fp32;  // of the layers whose keys and values are FP8
  AttentionObserver* observer = nullptr;                       // or nobody watches
  std::vector<AttentionPieces> attention_pieces{};             // one of each window that layers have

  // Sizes the workspace, computes rotary angles and cuts attention into pieces. `ropes` as the config's.
  void begin(const BatchPlan& batch, kv::KvCache& kv_cache, std::span<const RopeFrequencies> ropes);
  int num_tokens() const { return plan->num_tokens(); }
  const LayerConfig& layer_config(int layer) const { return config.layers[static_cast<std::size_t>(layer)]; }
  const AttentionPieces& pieces_of(int layer) const;
  bool is_last(int layer) const { return layer + 1 == config.num_layers; }
};

// Cuts the step's attention into pieces and sizes its buffers; begin() calls it.
void plan_attention(Step& step);

// out[t] = rms_norm(x[t]) * gain; rows of `size`.
void rms_norm(Step& step, float* out, const float* x, const std::vector<float>& gain, int num_tokens);

// One of several products that read the same x: y[t, :rows] = x[t, :cols] W^T + bias.
struct Product {
  const Linear* linear;
  float* y;
  std::int64_t y_stride;
};
// All products in one parallel loop, so that small matrices share one fork.
void multiply(Step& step, std::span<const Product> products, const float* x, std::int64_t x_stride,
              int num_tokens);

// Rotates q and k of the fused rows qkv [T, (H + 2K) * d], shows them to the observer, and writes k and v into
// the cache.
void rotate_and_store(Step& step, int layer, float* qkv);

// out [T, H * d] = attention of q in the fused rows over the cache of `layer`; of the last layer, unless an
// observer watches, only the rows of tokens whose logits are wanted are sure to be written.
void attend(Step& step, int layer, const float* qkv, float* out);

// Norms every head of q and k in the fused rows qkv [T, (H + 2K) * d].
void norm_heads(Step& step, const LayerWeights& weights, float* qkv);

// gate_up [num_tokens, 2 * size]: the first half of a row becomes activation(gate) * up; the other half is
// lost.
void activate(Step& step, float* gate_up, int size, int num_tokens);

// x[t] += y[t], rows of hidden_size.
void add(Step& step, float* x, const float* y, int num_tokens);

}  // namespace octet::model
