// TokenModel: the "model" of a tokenizer, which cuts a word into tokens of its vocabulary.
//
// BPE and Unigram are its kinds. Immutable and thread-safe once it is made.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/json_field.h"

namespace octet::text {

// Ids are dense in every published vocabulary (the largest has some 260,000); an id beyond this is a corrupt
// file, and would make tables by id enormous.
inline constexpr std::int64_t kMaxTokenId = (std::int64_t{1} << 22) - 1;

class TokenModel {
 public:
  // The "model" of a tokenizer.json. Throws Error: unsupported (another type of model), and as the kinds do.
  static std::unique_ptr<const TokenModel> parse(const JsonField& model);

  TokenModel() = default;
  TokenModel(const TokenModel&) = delete;  // ids_ refers into tokens_
  TokenModel& operator=(const TokenModel&) = delete;
  virtual ~TokenModel() = default;

  // Appends the tokens of one word. Requires valid UTF-8.
  // Throws Error{invalid_file} where it takes an unknown token that the vocabulary lacks.
  virtual void encode(std::string_view word, std::vector<std::int32_t>& ids) const = 0;

  // Where the first part of `word` ends that is encoded by itself; the word's end unless the kind knows better.
  virtual std::size_t part_end(std::string_view word) const { return word.size(); }

  std::optional<std::int32_t> find(std::string_view token) const;
  // By id; null where no token has it.
  const std::string* token(std::int32_t id) const;
  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }  // the largest id + 1

 protected:
  // Takes the tokens, each at the place of its id; of a token that stands there twice the last id is found.
  void set_tokens(std::vector<std::string> tokens, std::vector<bool> exists);
  // The ids of <0x00> … <0xFF>; -1: none.
  std::vector<std::int32_t> byte_tokens() const;

  std::string context_;  // for errors

 private:
  std::vector<std::string> tokens_;  // by id
  std::vector<bool> exists_;         // by id
  std::unordered_map<std::string_view, std::int32_t> ids_;
};

}  // namespace octet::text
