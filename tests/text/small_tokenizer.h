// Small tokenizer.json documents for tests.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace octet::text {

// A BPE model whose tokens have the ids of their places in `tokens`.
inline nlohmann::json small_document(const std::vector<std::string>& tokens,
                                     const std::vector<std::string>& merges = {}) {
  nlohmann::json vocab = nlohmann::json::object();
  for (std::size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  return {{"version", "1.0"}, {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

// Every printable ASCII character is a token, the space included.
inline nlohmann::json ascii_document() {
  std::vector<std::string> tokens;
  for (char c = ' '; c <= '~'; ++c) tokens.emplace_back(1, c);
  return small_document(tokens);
}

inline nlohmann::json added_token(int id, const std::string& content, bool special = true) {
  return {{"id", id},
          {"content", content},
          {"special", special},
          {"normalized", false},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", false}};
}

inline Tokenizer parse(const nlohmann::json& document) {
  return Tokenizer::parse(document.dump(), "small.json");
}

// The tokens of `text`, as text.
inline std::vector<std::string> tokens_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> tokens;
  for (const std::int32_t id : tokenizer.encode(text)) tokens.push_back(tokenizer.id_to_token(id));
  return tokens;
}

// The Error that parsing gives; fails the test where there is none.
inline Error parse_error(const std::string& document) {
  try {
    Tokenizer::parse(document, "small.json");
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error for " << document.substr(0, 400);
  return Error(ErrorCode::internal, "none");
}
inline Error parse_error(const nlohmann::json& document) { return parse_error(document.dump()); }

// The words that a pre-tokenizer makes of ASCII text, each with a '|' behind it. They are seen through a model
// without merges, in which the last character of a word has a token of its own.
inline std::string words_of(const nlohmann::json& pre_tokenizer, std::string_view text) {
  nlohmann::json document = ascii_document();
  document["model"]["end_of_word_suffix"] = "</w>";
  for (char c = ' '; c <= '~'; ++c) document["model"]["vocab"][std::string(1, c) + "</w>"] = 200 + c;
  document["pre_tokenizer"] = pre_tokenizer;
  std::string words;
  for (const std::string& token : tokens_of(parse(document), text)) {
    words += token.substr(0, 1);
    if (token.size() > 1) words += '|';
  }
  return words;
}

}  // namespace octet::text
