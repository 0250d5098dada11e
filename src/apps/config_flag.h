// --config FILE: a command's flags from a file.
#pragma once

#include <CLI/CLI.hpp>
#include <initializer_list>
#include <string>

namespace octet::apps {

// Adds --config, which gives `app` the flags of the YAML file that are not on the command line, as vLLM's flag
// of this name does: `model` is MODEL_DIR, a list is several values, true and false are for flags without a
// value. Those in `command_line_only` are refused there. Keys that are no flags of `app` are for other programs
// and are named in one notice on standard error; what is nearly a flag of `app` is an error. Errors, thrown
// while the command line is parsed, name the file and the key. Call it behind all other flags of `app`.
void add_config_flag(CLI::App& app, std::initializer_list<const char*> command_line_only = {});

}  // namespace octet::apps
