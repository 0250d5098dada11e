#include "llm/utf8.h"

#include "base/error.h"

namespace octet::llm {

namespace {

// What the lead byte promises: how many bytes follow, and the range of the first of them, which is where
// the Unicode standard's table 3-7 rules out overlong forms, surrogates and too large values.
struct Lead {
  int following;
  unsigned char least;
  unsigned char most;
};

std::optional<Lead> read_lead(unsigned char byte) {
  if (byte < 0x80) return Lead{0, 0, 0};
  if (byte < 0xC2) return std::nullopt;
  if (byte < 0xE0) return Lead{1, 0x80, 0xBF};
  if (byte < 0xF0)
    return Lead{2, static_cast<unsigned char>(byte == 0xE0 ? 0xA0 : 0x80),
                static_cast<unsigned char>(byte == 0xED ? 0x9F : 0xBF)};
  if (byte < 0xF5)
    return Lead{3, static_cast<unsigned char>(byte == 0xF0 ? 0x90 : 0x80),
                static_cast<unsigned char>(byte == 0xF4 ? 0x8F : 0xBF)};
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  const auto byte_at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const std::optional<Lead> lead = read_lead(byte_at(i));
    if (!lead || text.size() - i <= static_cast<std::size_t>(lead->following)) return i;
    for (int k = 1; k <= lead->following; ++k) {
      const unsigned char byte = byte_at(i + static_cast<std::size_t>(k));
      const unsigned char least = k == 1 ? lead->least : 0x80;
      const unsigned char most = k == 1 ? lead->most : 0xBF;
      if (byte < least || byte > most) return i;
    }
    i += static_cast<std::size_t>(lead->following) + 1;
  }
  return std::nullopt;
}

void require_utf8(std::string_view text, const std::string& what) {
  if (const std::optional<std::size_t> offset = first_invalid_utf8(text))
    throw Error(ErrorCode::invalid_argument,
                "expected UTF-8 text, found an invalid sequence at byte " + std::to_string(*offset), what);
}

}  // namespace octet::llm
