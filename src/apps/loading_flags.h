// The flags that say how weights are brought in and multiplied, for every command that has both.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace octet::apps {

// --dtype and --safetensors-load-strategy, as LLMOptions has them.
void add_loading_flags(CLI::App& app, std::string& dtype, std::string& load_strategy);

}  // namespace octet::apps
