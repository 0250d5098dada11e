// Unigram: the "model" of a tokenizer.json that gives every token a log probability: a word becomes the tokens
// whose probabilities have the largest product (Viterbi's algorithm).
//
// Immutable and thread-safe. A word of n bytes takes O(n L log V), with L the longest token of V.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_field.h"
#include "text/scored_pieces.h"
#include "text/token_model.h"

namespace octet::text {

class Unigram final : public TokenModel {
 public:
  // Throws Error{invalid_file}: no vocabulary, an element that is no [token, finite score], an unk_id outside.
  static std::unique_ptr<const Unigram> parse(const JsonField& model);
  // SentencePiece's kind: only normal, user-defined and unused pieces are found in a text. `context` is for
  // errors. Byte tokens are used where `byte_fallback`.
  static std::unique_ptr<const Unigram> of_pieces(ScoredPieces pieces, bool byte_fallback, std::string context);

  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override;

 private:
  struct Step;
  // `unseen`: tokens that no text becomes.
  void prepare(std::vector<std::string> tokens, std::vector<double> scores, const std::vector<bool>& unseen);
  // The best token that ends at each place of `word`, and where it begins.
  std::vector<Step> best_steps(std::string_view word) const;
  // The tokens of a stretch of `word` that is one token, or unknown.
  void append(std::string_view piece, std::vector<std::int32_t>& ids) const;

  std::vector<double> scores_;        // by id
  std::vector<std::int32_t> sorted_;  // ids in the order of their tokens' bytes, each token once
  double unknown_score_ = 0;
  std::optional<std::int32_t> unknown_;
  std::vector<std::int32_t> bytes_;  // ids of <0x00> … <0xFF>; empty without byte fallback
};

}  // namespace octet::text
