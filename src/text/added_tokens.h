// AddedTokens: the "added_tokens" of a tokenizer.json, such as <|im_start|>: tokens that are found in the text
// as they stand, before anything is normalized, split or merged.
//
// Immutable and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/json_field.h"
#include "text/normalizer.h"
#include "text/token_model.h"

namespace octet::text {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  std::string normalized_content;  // as it looks in normalized text; content where "normalized" is false
  bool special = false;            // left out of decoded text on request
  bool normalized = false;         // found in the normalized text, not in the original
  bool single_word = false;        // only between characters that are not of a word
  bool lstrip = false;             // takes the white space on its left
  bool rstrip = false;             // … and on its right
};

// A stretch of text: an added token, or what lies between two.
struct TextPart {
  std::size_t begin;
  std::size_t end;
  std::optional<std::int32_t> id;
};

// Finds the longest of many strings at each position, from left to right.
class StringFinder {
 public:
  // Returns false where the string is already there. Requires a string that is not empty.
  bool insert(std::string_view text, std::size_t value);
  bool empty() const { return nodes_.empty(); }

  struct Match {
    std::size_t begin;
    std::size_t end;
    std::size_t value;
  };
  // The first match that begins at `from` or later.
  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  struct Node {
    std::vector<std::pair<char, std::uint32_t>> children;
    std::optional<std::size_t> value;
  };
  const std::uint32_t* child(std::uint32_t node, char byte) const;

  std::vector<Node> nodes_;        // a trie; the root is the first
  std::vector<bool> first_bytes_;  // by byte: some string begins with it
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // Throws Error{invalid_file} for an id that the vocabulary or another added token contradicts.
  static AddedTokens parse(const std::optional<JsonField>& field, const TokenModel& model,
                           const Normalizer& normalizer);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  // Null where there is none.
  const AddedToken* find(std::int32_t id) const;
  const AddedToken* find(const std::string& content) const;

  // Cuts a text (original, or normalized where `in_normalized`) into added tokens and what lies between.
  // Parts are in order; empty ones are left out.
  std::vector<TextPart> split(std::string_view text, bool in_normalized) const;

 private:
  void add(AddedToken token, const JsonField& field, const TokenModel& model, const Normalizer& normalizer);

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::int32_t, std::size_t> by_id_;  // values are places in tokens_
  std::unordered_map<std::string, std::size_t> by_content_;
  StringFinder in_original_;  // values are places in tokens_
  StringFinder in_normalized_;
};

}  // namespace octet::text
