#include "text/utf8.h"

#include <cstdint>
#include <cstring>

namespace octet::text {
namespace {

// What may follow a lead byte: how many continuation bytes, and the range of the first of them.
// Source: the Unicode standard, table 3-7 (well-formed UTF-8 byte sequences).
struct Lead {
  int continuations;  // -1: not a lead byte
  unsigned char second_least;
  unsigned char second_most;
};

constexpr Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {0, 0, 0};
  if (byte < 0xC2) return {-1, 0, 0};
  if (byte < 0xE0) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte < 0xF0) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte < 0xF4) return {3, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {-1, 0, 0};
}

enum class Shape { whole, broken, cut_off };

// Looks at the character at `position`; `length` becomes its bytes, or those of the prefix that is well-formed
// (at least 1).
Shape shape_at(std::string_view text, std::size_t position, std::size_t& length) {
  const Lead lead = lead_of(static_cast<unsigned char>(text[position]));
  length = 1;
  if (lead.continuations < 0) return Shape::broken;
  for (int k = 0; k < lead.continuations; ++k) {
    if (position + length == text.size()) return Shape::cut_off;
    const auto byte = static_cast<unsigned char>(text[position + length]);
    const unsigned char least = k == 0 ? lead.second_least : 0x80;
    const unsigned char most = k == 0 ? lead.second_most : 0xBF;
    if (byte < least || byte > most) return Shape::broken;
    ++length;
  }
  return Shape::whole;
}

// The end of the ASCII run that starts at `position`, eight bytes at a time.
std::size_t skip_ascii(std::string_view text, std::size_t position) {
  while (position + 8 <= text.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + position, 8);
    if ((word & 0x8080808080808080u) != 0) break;
    position += 8;
  }
  while (position < text.size() && static_cast<unsigned char>(text[position]) < 0x80) ++position;
  return position;
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t position = skip_ascii(text, 0); position < text.size();
       position = skip_ascii(text, position)) {
    std::size_t length = 0;
    if (shape_at(text, position, length) != Shape::whole) return position;
    position += length;
  }
  return std::nullopt;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t at) { return static_cast<char32_t>(static_cast<unsigned char>(text[at])); };
  const char32_t first = byte(position++);
  if (first < 0x80) return first;
  const int continuations = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  char32_t value = first & (0x3Fu >> continuations);
  for (int k = 0; k < continuations && position < text.size(); ++k) {
    value = (value << 6) | (byte(position++) & 0x3F);
  }
  return value;
}

char32_t previous_code_point(std::string_view text, std::size_t& position) {
  do {
    --position;
  } while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  std::size_t forward = position;
  return next_code_point(text, forward);
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::size_t append_lossy(std::string& out, std::string_view bytes, bool final) {
  std::size_t position = 0;
  while (position < bytes.size()) {
    const std::size_t ascii_end = skip_ascii(bytes, position);
    out.append(bytes.substr(position, ascii_end - position));
    position = ascii_end;
    if (position == bytes.size()) break;
    std::size_t length = 0;
    const Shape shape = shape_at(bytes, position, length);
    if (shape == Shape::cut_off && !final) break;
    out.append(shape == Shape::whole ? bytes.substr(position, length) : std::string_view("\xEF\xBF\xBD"));
    position += length;
  }
  return position;
}

}  // namespace octet::text
