// calculate_kv_scales: scales of this process's own instead of the checkpoint's.
#pragma once

#include <octet/llm.h>
#include <octet/sampling_params.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "kv/kv_scales.h"
#include "llm/cache_choice.h"
#include "llm/engine_setup.h"
#include "model/forward.h"
#include "text/tokenizer.h"

namespace octet::llm {

// What the two options, calculate_kv_scales and kv_scale_strategy, ask for.
struct ScaleCalculation {
  enum class Source { none, random, prompt, bound } source = Source::none;
  kv::ScaleStrategy strategy = kv::ScaleStrategy::tensor;

  bool wanted() const { return source != Source::none; }
  bool from_tokens() const { return source == Source::random || source == Source::prompt; }
};

// Throws Error{invalid_argument} naming calculate_kv_scales or kv_scale_strategy: an unknown value, or a
// strategy of scales that are not calculated.
ScaleCalculation read_scale_calculation(const CalculateKvScales& calculate, const std::string& strategy);

// Sets the choice's scales, source, strategy and a notice: now, or (prompt) for later. Random tokens are as
// many as one sequence of max_model_len takes, at most 512. Throws Error{invalid_argument} naming a layer whose
// keys or values give no scale.
void calculate_scales(const ScaleCalculation& calculation, model::Model& model, ThreadPool& pool,
                      const text::Tokenizer& tokenizer, int max_model_len, int max_batched_tokens,
                      CacheChoice& choice);

// Sets the scales of `cache` as the prompt `ids` does where it is the first and runs in one step, and the
// choice's source and a notice. The prompt's keys and values stand in the cache afterwards, from slot 0 on.
// Requires no more ids than a step and the cache take. Throws as calculate_scales.
void calculate_scales_from_prompt(const ScaleCalculation& calculation, model::Model& model,
                                  std::span<const std::int32_t> ids, kv::KvCache& cache, CacheChoice& choice);

// Where the first prompt decides the scales: before a step that may be the first, whose oldest request has
// `prompt_tokens` and those parameters, and after it. Neither does anything once they are decided.
void expect_first_prompt(EngineSetup& setup, std::size_t prompt_tokens, const SamplingParams& params);
void note_first_prompt(EngineSetup& setup);

}  // namespace octet::llm
