// Drives a Model by hand, without the engine: sequences with their own block tables, prompts in chunks of
// any size, several sequences in one step.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "files/checkpoint.h"
#include "kernels/dispatch.h"
#include "kv/kv_cache.h"
#include "model/forward.h"

namespace octet::tests {

struct RunnerOptions {
  KvDtype dtype = KvDtype::float32;
  int block_size = 16;
  int num_blocks = 128;
  int threads = 2;
  std::string isa;      // empty = the fastest
  kv::KvScales scales;  // empty = ones
  int max_batched_tokens = 1024;
  Dtype activations = Dtype::float32;
};

struct RunnerSequence {
  std::vector<std::int32_t> blocks;
  int length = 0;  // tokens in the cache
};

class SequenceRunner {
 public:
  SequenceRunner(const std::string& directory, const RunnerOptions& options)
      : checkpoint_(std::make_shared<const files::Checkpoint>(files::Checkpoint::open(directory))),
        pool_(options.threads),
        model_(checkpoint_, *kernels::find_table(options.isa), pool_, options.max_batched_tokens),
        cache_(layout(options), options.num_blocks, scales(options)) {
    model_.set_dtype(options.activations);
  }

  const model::ModelConfig& config() const { return model_.config(); }
  kv::KvCache& cache() { return cache_; }
  model::Model& model() { return model_; }

  struct Chunk {
    RunnerSequence* sequence;
    std::vector<std::int32_t> ids;
  };

  // One step over these chunks; logits [all tokens of all chunks, V] (or only the last of each).
  std::vector<float> step(const std::vector<Chunk>& chunks, bool every_token) {
    plan_.clear();
    for (const Chunk& chunk : chunks) append(chunk, every_token);
    for (const Chunk& chunk : chunks)
      plan_.max_blocks = std::max(plan_.max_blocks, static_cast<std::int32_t>(chunk.sequence->blocks.size()));
    for (const Chunk& chunk : chunks) {
      std::vector<std::int32_t> row = chunk.sequence->blocks;
      row.resize(static_cast<std::size_t>(plan_.max_blocks), 0);
      plan_.block_tables.insert(plan_.block_tables.end(), row.begin(), row.end());
    }
    const std::span<float> logits = model_.forward(plan_, cache_);
    return {logits.begin(), logits.end()};
  }

  // Logits after every token of `ids`, [ids.size(), V], fed in chunks of `chunk` tokens.
  std::vector<float> logits(const std::vector<std::int32_t>& ids, int chunk) {
    RunnerSequence sequence;
    std::vector<float> all;
    all.reserve(ids.size() * static_cast<std::size_t>(config().vocab_size));
    for (std::size_t at = 0; at < ids.size(); at += static_cast<std::size_t>(chunk)) {
      const auto end = std::min(ids.size(), at + static_cast<std::size_t>(chunk));
      const std::vector<float> some = step(
          {{&sequence,
            {ids.begin() + static_cast<std::ptrdiff_t>(at), ids.begin() + static_cast<std::ptrdiff_t>(end)}}},
          true);
      all.insert(all.end(), some.begin(), some.end());
    }
    release(sequence);
    return all;
  }

  void release(RunnerSequence& sequence) {
    for (const std::int32_t block : sequence.blocks) cache_.pool().release(block);
    sequence = {};
  }

 private:
  kv::KvLayout layout(const RunnerOptions& options) const {
    const model::ModelConfig& c = model_.config();
    return {c.num_layers, c.num_kv_heads, c.head_dim, options.block_size, options.dtype, options.dtype};
  }
  kv::KvScales scales(const RunnerOptions& options) const {
    const model::ModelConfig& c = model_.config();
    return options.scales.layers.empty() ? kv::KvScales::ones(c.num_layers, c.num_kv_heads) : options.scales;
  }

  void append(const Chunk& chunk, bool every_token) {
    RunnerSequence& sequence = *chunk.sequence;
    const int block_size = cache_.layout().block_size;
    for (const std::int32_t& id : chunk.ids) {
      if (sequence.length % block_size == 0) sequence.blocks.push_back(cache_.pool().allocate().value());
      plan_.token_ids.push_back(id);
      plan_.positions.push_back(sequence.length);
      plan_.slot_mapping.push_back(static_cast<std::int64_t>(sequence.blocks.back()) * block_size +
                                   sequence.length % block_size);
      ++sequence.length;
      if (every_token || &id == &chunk.ids.back()) plan_.logits_rows.push_back(plan_.num_tokens() - 1);
    }
    plan_.query_start.push_back(plan_.num_tokens());
    plan_.prompt_lengths.push_back(chunk.ids.size() > 1 ? sequence.length : 0);  // one token is a decode
  }

  std::shared_ptr<const files::Checkpoint> checkpoint_;
  ThreadPool pool_;
  model::Model model_;
  kv::KvCache cache_;
  model::BatchPlan plan_;
};

// The index of the largest of logits[0, vocab); the lower one of equals.
inline std::int32_t argmax(const float* logits, int vocab) {
  return static_cast<std::int32_t>(std::max_element(logits, logits + vocab) - logits);
}

}  // namespace octet::tests
