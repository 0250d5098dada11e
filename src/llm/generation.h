// Drives the engine for one call of generate(): tokens in, texts out.
#pragma once

#include <octet/llm.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "llm/engine_setup.h"

namespace octet::llm {

// A prompt after encoding.
struct EncodedPrompt {
  std::string text;  // empty where only ids were given
  std::vector<std::int32_t> token_ids;
};

// Generates for all prompts together. `started` is what timings count from. When `interrupted` becomes true
// (it is set back to false) or `on_text` returns false, everything ends with the finish reason "abort".
// Throws Error{invalid_argument} naming the prompt before anything is generated; whatever happens, no
// request stays in the engine.
std::vector<RequestOutput> run_generation(EngineSetup& setup, std::vector<EncodedPrompt> prompts,
                                          const SamplingParams& params, const TextCallback& on_text,
                                          std::atomic<bool>& interrupted,
                                          std::chrono::steady_clock::time_point started);

}  // namespace octet::llm
