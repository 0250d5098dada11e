// calculate_kv_scales: scales of this process's own instead of the checkpoint's.
#pragma once

#include <octet/llm.h>

#include <cstddef>

#include "kv/kv_scales.h"
#include "llm/cache_choice.h"
#include "llm/engine_setup.h"
#include "model/forward.h"
#include "text/tokenizer.h"

namespace octet::llm {

// What the two options ask for.
struct ScaleCalculation {
  enum class Source { none, random, prompt, bound } source = Source::none;
  kv::ScaleStrategy strategy = kv::ScaleStrategy::tensor;

  bool wanted() const { return source != Source::none; }
  bool from_tokens() const { return source == Source::random || source == Source::prompt; }
};

// Throws Error{invalid_argument} naming calculate_kv_scales or kv_scale_strategy: an unknown value, or a
// strategy of scales that are not calculated.
ScaleCalculation read_scale_calculation(const LLMOptions& options);

// Sets the choice's scales, source, strategy and a notice: now, or (prompt) for later. Random tokens are as
// many as one sequence of max_model_len takes, at most 512. Throws Error{invalid_argument} naming a layer whose
// keys or values give no scale.
void calculate_scales(const ScaleCalculation& calculation, model::Model& model, ThreadPool& pool,
                      const text::Tokenizer& tokenizer, int max_model_len, int max_batched_tokens,
                      CacheChoice& choice);

// Where the first prompt decides the scales: before a step that may be the first, whose oldest request has
// `prompt_tokens`, and after it. Neither does anything once they are decided.
void expect_first_prompt(EngineSetup& setup, std::size_t prompt_tokens);
void note_first_prompt(EngineSetup& setup);

}  // namespace octet::llm
