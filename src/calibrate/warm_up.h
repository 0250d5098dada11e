// Scales that a process calculates for itself when it starts, instead of reading them from a checkpoint: from
// random tokens, or from the first prompt.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "calibrate/layer_ranges.h"
#include "kv/kv_cache.h"
#include "model/attention_observer.h"
#include "model/forward.h"

namespace octet::calibrate {

// How much wider than what few tokens showed the ranges are made: later text goes further. A power of two moves
// the exponent of every code and changes no other bit, so it costs precision only where values are so small
// that they become subnormal (docs/calibration.md has the measurements).
inline constexpr float kWarmUpHeadroom = 4.0f;

// `count` ids of [0, vocab_size), the same for one seed on every machine.
std::vector<std::int32_t> random_tokens(int count, int vocab_size, std::uint64_t seed);

// The ranges of k and v while `ids` run through the model as one sequence, in steps of `step_tokens`, over a
// float32 cache of their own; q too. The model is left without an observer.
std::vector<LayerRanges> ranges_of_tokens(model::Model& model, std::span<const std::int32_t> ids,
                                          int step_tokens);

// The ranges times kWarmUpHeadroom.
std::vector<LayerRanges> with_headroom(std::vector<LayerRanges> ranges);

// Watches a model that writes into `cache`: sets the scales from the first prompt where it was asked to, layer
// by layer before the layer is written, and counts the keys and values that the scales cannot represent.
class WarmUpObserver final : public model::AttentionObserver {
 public:
  // `cache` is kept. With `from_first_prompt` its scales are set by the next step that runs.
  WarmUpObserver(kv::KvCache& cache, kv::ScaleStrategy strategy, bool from_first_prompt);

  // Only the first `num_tokens` tokens of the next step count, so that the scales do not depend on what else is
  // in its batch. Without this call, all of them do.
  void expect_prompt(int num_tokens) { expected_tokens_ = num_tokens; }
  // Whether the scales are yet to be set, and from how many tokens they were.
  bool waiting() const { return waiting_; }
  int prompt_tokens() const { return prompt_tokens_; }

  // Throws as layer_scales; the scales then wait for the next step.
  void observe_qkv(int layer, const model::HeadRows& q, const model::HeadRows& k,
                   const model::HeadRows& v) override;

  // Keys and values written into layers that take scales, and those of them beyond the largest stored value.
  std::int64_t stored_values() const { return stored_; }
  std::int64_t saturated_values() const { return saturated_; }

 private:
  void set_scales(int layer, model::HeadRows k, model::HeadRows v);
  void count(const model::HeadRows& rows, KvDtype dtype, const std::vector<float>& scales);

  kv::KvCache& cache_;
  kv::ScaleStrategy strategy_;
  bool waiting_;
  int expected_tokens_ = 0;  // 0: all of the step
  int prompt_tokens_ = 0;
  std::int64_t stored_ = 0;
  std::int64_t saturated_ = 0;
};

}  // namespace octet::calibrate
