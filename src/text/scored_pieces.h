// ScoredPieces: a SentencePiece vocabulary, as a tokenizer.model or a GGUF file's metadata lists it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet::text {

// What SentencePiece writes for a space.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// As both kinds of file number them.
enum class PieceType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

// Whether the model finds such pieces in a text.
inline bool is_found_in_text(PieceType type) {
  return type == PieceType::normal || type == PieceType::user_defined || type == PieceType::unused;
}

// Whether such pieces are special tokens: found in a text before the model sees it, left out of decoded text.
inline bool is_special(PieceType type) { return type == PieceType::control || type == PieceType::unknown; }

// By id; the three have the same length.
struct ScoredPieces {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<PieceType> types;

  // The id of the first piece of the type unknown.
  std::optional<std::int32_t> find_unknown() const {
    for (std::size_t id = 0; id < types.size(); ++id) {
      if (types[id] == PieceType::unknown) return static_cast<std::int32_t>(id);
    }
    return std::nullopt;
  }
};

}  // namespace octet::text
