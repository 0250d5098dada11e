// Bpe: byte-pair encoding, the "model" of a tokenizer.json: cuts a word into tokens by joining neighbouring
// pieces, the pair of lowest rank first.
//
// Immutable and thread-safe. A word of n characters takes O(n log n).
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

// Pairs of token ids that may be joined: their rank (lower joins first) and the id of the result.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank;
    std::int32_t result;
  };

  void reserve(std::size_t merges);                                 // before the first insert()
  void insert(std::int32_t left, std::int32_t right, Merge merge);  // replaces an earlier one
  const Merge* find(std::int32_t left, std::int32_t right) const;

 private:
  struct Slot {
    std::uint64_t pair = kEmpty;
    Merge merge{};
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  std::size_t slot_of(std::uint64_t pair) const;

  std::vector<Slot> slots_;
};

class Bpe final : public TokenModel {
 public:
  // Throws Error: unsupported (dropout), invalid_file (no vocabulary, an id that is negative, too large or used
  // twice, a merge that names a token outside the vocabulary).
  static std::unique_ptr<const Bpe> parse(const JsonField& model);
  // SentencePiece's kind: two neighbours join where they make a normal piece, that of the highest score first.
  // `context` is for errors. Requires at most kMaxTokenId + 1 pieces.
  static std::unique_ptr<const Bpe> of_pieces(ScoredPieces pieces, std::string context);

  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override;

  // The word's end, or, where no merge joins across it, before a "▁" (SentencePiece's space) that follows
  // another character. Models of that kind take a whole text as one word; its parts are cheaper and come back.
  std::size_t part_end(std::string_view word) const override;

 private:
  struct Symbol {
    std::int32_t id;  // -1: joined into the one before
    std::int32_t previous;
    std::int32_t next;  // -1: none
  };

  void read_vocabulary(const JsonField& vocab);
  void read_merges(const JsonField& merges);
  void add_merge(const std::string& left, const std::string& right, std::uint32_t rank, const JsonField& merges,
                 std::size_t index);
  void index_characters();
  void add_piece_merges(const ScoredPieces& pieces);
  std::vector<Symbol> symbols_of(std::string_view word) const;
  std::optional<std::int32_t> find_character(std::string_view piece) const;
  bool append_byte_tokens(std::string_view piece, std::vector<Symbol>& symbols) const;
  void join(std::vector<Symbol>& symbols) const;

  std::vector<std::int32_t> characters_;  // ids of the tokens that are one low character; -1: none
  std::vector<std::int32_t> bytes_;       // ids of <0x00> … <0xFF>; -1: none
  MergeTable merges_;
  std::string prefix_;  // continuing_subword_prefix
  std::string suffix_;  // end_of_word_suffix
  std::optional<std::string> unk_token_;
  std::optional<std::int32_t> unk_id_;
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  bool mark_begins_parts_ = false;
};

}  // namespace octet::text
