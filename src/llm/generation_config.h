// What generation_config.json (with config.json and the tokenizer) says about ending and sampling.
#pragma once

#include <octet/sampling_params.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "files/checkpoint.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace octet::llm {

// The tokens that end a text unless ignore_eos. vLLM's rule: the tokenizer's own end token ends it without a
// stop_reason; the others, from generation_config.json or else config.json, end it with their id as reason.
struct EndTokens {
  std::optional<std::int32_t> primary;  // the tokenizer's; where it names none, the first of the configs'
  std::vector<std::int32_t> all;        // without repeats, primary first
};

// Throws Error{invalid_file} for an id outside the vocabulary.
EndTokens read_end_tokens(const files::Checkpoint& checkpoint, const model::ModelConfig& config,
                          const text::Tokenizer& tokenizer);

// SamplingParams' defaults, with temperature, top_p, top_k, min_p, repetition_penalty and max_new_tokens
// from generation_config.json. Throws Error{invalid_file} naming the field where a value is not allowed.
SamplingParams read_default_sampling_params(const files::Checkpoint& checkpoint);

}  // namespace octet::llm
