// ScoredPieces: a SentencePiece vocabulary, as a tokenizer.model or a GGUF file's metadata lists it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::text {

// As both kinds of file number them.
enum class PieceType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

// By id; the three have the same length.
struct ScoredPieces {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<PieceType> types;
};

}  // namespace octet::text
