// Bpe: byte-pair encoding, the "model" of a tokenizer.json: cuts a word into tokens by joining neighbouring
// pieces, the pair of lowest rank first.
//
// Immutable and thread-safe. A word of n characters takes O(n log n).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/json_field.h"

namespace octet::text {

// What SentencePiece writes for a space.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// Ids are dense in every published vocabulary (the largest has some 260,000); an id beyond this is a corrupt
// file, and would make tables by id enormous.
inline constexpr std::int64_t kMaxTokenId = (std::int64_t{1} << 22) - 1;

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

class Bpe {
 public:
  // Throws Error: unsupported (another type of model, dropout), invalid_file (no vocabulary, an id that is
  // negative, too large or used twice, a merge that names a token outside the vocabulary).
  static Bpe parse(const JsonField& model);

  // Appends the tokens of one word. Requires valid UTF-8.
  // Throws Error{invalid_file} where it takes an unk_token that the vocabulary lacks.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  // Where the first part of `word` ends that is encoded by itself: the word's end, or, where no merge joins
  // across it, before a "▁" (SentencePiece's space) that follows another character. Models of that kind take a
  // whole text as one word; its parts are cheaper and come back.
  std::size_t part_end(std::string_view word) const;

  std::optional<std::int32_t> find(std::string_view token) const;
  // By id; null where no token has it.
  const std::string* token(std::int32_t id) const;
  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }  // the largest id + 1
  std::int32_t count() const { return count_; }                                    // of tokens

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
  void read_byte_tokens();
  std::vector<Symbol> symbols_of(std::string_view word) const;
  std::optional<std::int32_t> find_character(std::string_view piece) const;
  bool append_byte_tokens(std::string_view piece, std::vector<Symbol>& symbols) const;
  void join(std::vector<Symbol>& symbols) const;

  std::string context_;
  std::vector<std::string> tokens_;  // by id
  std::vector<bool> exists_;         // by id
  std::int32_t count_ = 0;
  std::unordered_map<std::string_view, std::int32_t> ids_;  // the keys are in tokens_
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
