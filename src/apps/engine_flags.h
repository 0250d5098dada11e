// The flags of a model that answers, which octet generate and octet serve have alike.
#pragma once

#include <octet/llm.h>

#include <CLI/CLI.hpp>
#include <string>

namespace octet::apps {

struct EngineFlags {
  LLMOptions options;
  // As they were written; engine_options() puts them into the options.
  std::string calculate_kv_scales;
  std::string kv_cache_memory_bytes;
};

// MODEL_DIR, and how its cache is stored, its weights are loaded and its kernels are chosen.
void add_engine_flags(CLI::App& app, EngineFlags& flags);

// Throws Error{invalid_argument} naming the flag.
LLMOptions engine_options(const EngineFlags& flags);

// One value each time the option is given, however many times.
CLI::Option* repeatable(CLI::Option* option);

}  // namespace octet::apps
