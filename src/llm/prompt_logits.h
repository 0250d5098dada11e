// The logits of a prompt, computed beside the engine: in a cache of their own, with the engine's dtypes and
// scales.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llm/engine_setup.h"

namespace octet::llm {

// [token_ids.size(), vocab_size], or [1, vocab_size] of the last alone. The model must not be running. Requires
// ids that were checked. Throws Error: out_of_memory, before anything is computed where the logits alone are
// more than the memory that is available; invalid_argument where the scales are to come from the first prompt
// and none has run.
std::vector<float> prompt_logits(EngineSetup& setup, std::span<const std::int32_t> token_ids, bool last_only);

// Throws Error{out_of_memory} where floats [rows, vocab_size] take more than `available` bytes (0: unknown).
void check_logits_fit(std::int64_t rows, int vocab_size, std::int64_t available);

}  // namespace octet::llm
