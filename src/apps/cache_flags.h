// The flags that say how a KV cache is stored, which several commands have.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace octet::apps {

// Adds --kv-cache-dtype-k, --kv-cache-dtype-v and --kv-cache-dtype-skip-layers, which write to the three.
void add_cache_dtype_flags(CLI::App& app, std::string& k, std::string& v,
                           std::vector<std::string>& skip_layers);

// Adds --attention-math.
void add_attention_math_flag(CLI::App& app, std::string& math);

// Adds --calculate-kv-scales[=random|prompt|bound] and --kv-scale-strategy.
void add_scale_calculation_flags(CLI::App& app, std::string& calculate, std::string& strategy);

}  // namespace octet::apps
