// From what a caller asks for to what the engine runs.
#pragma once

#include <octet/sampling_params.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/request.h"
#include "llm/engine_setup.h"

namespace octet::llm {

// Throws Error{invalid_argument} naming the field: as SamplingParams::validate, and ids outside the vocabulary.
void check_params(const SamplingParams& params, int vocab_size);

// Throws Error{invalid_argument} with `where` as context: no token, an id outside the vocabulary, or
// max_model_len tokens or more (naming both numbers).
void check_prompt(const std::vector<std::int32_t>& token_ids, const std::string& where, int vocab_size,
                  int max_model_len);

// Of what was checked. `grammar`: answer_grammar() of the parameters.
engine::Request make_request(std::vector<std::int32_t> token_ids, const SamplingParams& params,
                             const EngineSetup& setup, std::shared_ptr<const engine::TokenGrammar> grammar);

}  // namespace octet::llm
