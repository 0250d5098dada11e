// SampleRunner: runs samples through a model for the sake of what an observer sees; no logits are computed.
//
// Several samples go in one step, each attending to itself alone, so that the matrix products are large
// whatever the length of a sample. The cache holds float32, one step's tokens. Used by one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "calibrate/scale_observer.h"
#include "kv/kv_cache.h"
#include "model/batch_plan.h"
#include "model/forward.h"

namespace octet::calibrate {

class SampleRunner {
 public:
  // `model` and `observer` are kept; the model must take steps of `step_tokens`. A longer sample, of up to
  // `max_sample_tokens`, goes in several steps.
  SampleRunner(model::Model& model, ScaleObserver& observer, int step_tokens, int max_sample_tokens);
  ~SampleRunner();
  SampleRunner(const SampleRunner&) = delete;
  SampleRunner& operator=(const SampleRunner&) = delete;

  // Takes a sample, and runs those before it where it does not fit in their step.
  // Requires 1 to max_sample_tokens ids, each inside the vocabulary.
  void add(std::vector<std::int32_t> ids);
  // Runs all that was taken.
  void flush();
  // Tokens that were run.
  std::int64_t tokens() const { return tokens_; }

 private:
  void append(const std::vector<std::int32_t>& ids, int begin, int end);
  void run();

  model::Model& model_;
  ScaleObserver& observer_;
  int step_tokens_;
  kv::KvCache cache_;
  std::vector<std::vector<std::int32_t>> waiting_;
  std::int64_t waiting_tokens_ = 0;
  std::int64_t waiting_blocks_ = 0;
  std::int64_t tokens_ = 0;
  // The step.
  model::BatchPlan plan_;
  std::vector<SampleRows> rows_;
  std::int32_t next_block_ = 0;
  std::vector<std::vector<std::int32_t>> tables_;  // of the step's sequences
};

}  // namespace octet::calibrate
