// SentencePieceModel: what a tokenizer.model says, the file that SentencePiece trains.
//
// The file is a protobuf message of which a dozen fields matter here. They are read directly: libsentencepiece
// would encode texts, but tells neither the kind of model nor its normalization, and cannot leave out the space
// before a stretch of text, so that streaming, added tokens and transformers' `legacy` could not be had with
// it. Source: google/sentencepiece, sentencepiece_model.proto, whose defaults hold for absent fields.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/scored_pieces.h"

namespace octet::text {

struct SentencePieceModel {
  enum class Kind : std::uint8_t { unigram = 1, bpe, word, character };

  ScoredPieces pieces;
  Kind kind = Kind::unigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;    // the mark of a space ends words instead of beginning them
  std::int32_t bos_id = 1, eos_id = 2;  // -1: none
  std::string charsmap;  // compiled rules that rewrite characters; empty where texts stay as they are
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// Reads a whole file; `file` is its path, for errors.
// Throws Error{invalid_file} with the byte offset or piece: cut off, no pieces, a field of another type, an
// unknown kind or type, a score that is not finite, a piece that is not UTF-8, an id outside.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& file);

}  // namespace octet::text
