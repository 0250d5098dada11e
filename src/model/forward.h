// Model: a loaded decoder and its forward pass.
#pragma once

#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "files/checkpoint.h"
#include "kernels/kernel_table.h"
#include "kv/kv_cache.h"
#include "model/attention_observer.h"
#include "model/batch_plan.h"
#include "model/config.h"
#include "model/weights.h"

namespace octet::model {

// Owns its workspace; the weights stay in the checkpoint's mappings. Not thread-safe.
class Model {
 public:
  // `table` and `pool` are kept. Throws Error: unsupported (architecture, config value), invalid_file
  // (a tensor missing or of the wrong shape, naming it).
  Model(std::shared_ptr<const files::Checkpoint> checkpoint, const kernels::KernelTable& table,
        ThreadPool& pool, int max_batched_tokens);
  ~Model();

  const ModelConfig& config() const;
  const Weights& weights() const;

  // Quantises the linear layers of all decoder layers, a scale for every row, in memory of the model's own, and
  // gives back that of the files; embedding, output matrix and routers stay as they are, and so does what is
  // quantised already. Before the first step. Throws as quantize_linear.
  QuantizedLayers quantize_weights(Quantization quantization);

  // Runs one step: writes the keys and values of all tokens into `cache`, then attends and returns the
  // logits [logits_rows.size(), vocab_size], valid until the next call. Requires num_tokens() <=
  // max_batched_tokens and every slot and block inside the cache.
  std::span<float> forward(const BatchPlan& plan, kv::KvCache& cache);

  // What activations are rounded to before a linear layer multiplies them: float32 (not at all; so it begins)
  // or bfloat16, which CPUs that multiply it do twice as fast. Sums, residuals, norms and attention are
  // float32.
  void set_dtype(Dtype dtype);

  // The most tokens that any sequence will have, the config's max_position_embeddings until it is set: LongRoPE
  // has one set of frequencies for contexts beyond the original and one for shorter ones.
  void set_max_model_len(int tokens);

  // How every later step attends to the layers whose keys and values are both FP8; fp32 until it is set.
  // Queries take the q scales of the cache where it has them.
  void set_attention_math(kernels::AttentionMath math);

  // `observer` watches every later step, until null is set. Not owned.
  void set_observer(AttentionObserver* observer);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::model
