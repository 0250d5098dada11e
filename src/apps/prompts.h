// The prompts of one command line, in the order in which they stand there.
#pragma once

#include <octet/llm.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octet::apps {

// The whole of a file, or of standard input for "-". Throws Error{not_found, io}.
std::string read_file(const std::string& path);

// The same. A newline at the very end is left out: editors add it,
// and a model continues differently after it. Throws Error{not_found, io}.
std::string read_prompt_file(const std::string& path);

// "1,2,3" to ids. Throws Error{invalid_argument} naming the flag and the part that is not an id.
std::vector<std::int32_t> parse_token_ids(std::string_view list);

// vLLM's sizes: a whole number of bytes, or a number with k, m, g, t (powers of 1000) or K, M, G, T (powers
// of 1024). Throws Error{invalid_argument} naming `flag`.
std::int64_t parse_byte_size(const std::string& text, const std::string& flag);

}  // namespace octet::apps
