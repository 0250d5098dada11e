// Parts of a tokenizer.json, written for tokenizers that come in another kind of file, which is then read as if
// it were one.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace octet::text::pipeline {

// An element of "added_tokens", found in the text before it is normalized.
nlohmann::json added_token(std::int32_t id, const std::string& content, bool special, bool rstrip = false);

// A "post_processor" that puts the tokens with these ids before and behind the text's.
nlohmann::json around(std::optional<std::int32_t> bos, std::optional<std::int32_t> eos);

// A pre-tokenizer: what the regular expression matches, and what lies between, are words.
nlohmann::json split(std::string_view regex);

// Where SentencePiece puts the space that it writes before a text: nowhere; at the text's beginning only; or at
// the beginning of each stretch between added tokens (transformers' `legacy`, and llama.cpp).
enum class SpacePrefix { none, first, every };

// Sets "normalizer", "pre_tokenizer" and "decoder" as a SentencePiece model's pieces with byte fallback need
// them.
void set_sentencepiece(nlohmann::json& document, SpacePrefix prefix);

}  // namespace octet::text::pipeline
