// The flags that say how weights are brought in and multiplied, for every command that has both.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace octet::apps {

// --dtype, as LLMOptions has it.
void add_dtype_flag(CLI::App& app, std::string& dtype);

// --dtype, --safetensors-load-strategy and --quantization, as LLMOptions has them.
void add_loading_flags(CLI::App& app, std::string& dtype, std::string& load_strategy,
                       std::string& quantization);

}  // namespace octet::apps
