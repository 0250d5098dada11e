// What is wrong with a command line, in words that say what was expected and what was found.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace octet::apps {

// The parser's error about a value, with what a flag of `app` takes where the parser only says that it could
// not convert.
std::string value_error(const CLI::App& app, const CLI::ParseError& error);

// The parser's error about the whole command line, once parsed.
std::string usage_error(const CLI::App& program, const CLI::ParseError& error, int argc, char** argv);

}  // namespace octet::apps
