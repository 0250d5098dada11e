#include "text/byte_alphabet.h"

#include <array>
#include <cstddef>

#include "text/utf8.h"

namespace octet::text {
namespace {

struct ByteText {
  char bytes[2];
  unsigned char length;
};

struct Alphabet {
  std::array<ByteText, 256> text{};
  std::array<std::int16_t, 256 + 68> byte{};  // by code point; -1: not of the alphabet
};

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (auto& byte : alphabet.byte) byte = -1;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const int character = stands_for_itself(byte) ? byte : next++;
    alphabet.byte[static_cast<std::size_t>(character)] = static_cast<std::int16_t>(byte);
    ByteText& text = alphabet.text[static_cast<std::size_t>(byte)];
    if (character < 0x80) {
      text = {{static_cast<char>(character), 0}, 1};
    } else {
      text = {{static_cast<char>(0xC0 | (character >> 6)), static_cast<char>(0x80 | (character & 0x3F))}, 2};
    }
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

void append_byte_characters(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    const ByteText& text = kAlphabet.text[static_cast<unsigned char>(byte)];
    out.append(text.bytes, text.length);
  }
}

std::optional<unsigned char> byte_of_character(char32_t character) {
  if (character >= kAlphabet.byte.size() || kAlphabet.byte[character] < 0) return std::nullopt;
  return static_cast<unsigned char>(kAlphabet.byte[character]);
}

void append_bytes_of(std::string& out, std::string_view characters) {
  const std::size_t start = out.size();
  for (std::size_t position = 0; position < characters.size();) {
    const std::optional<unsigned char> byte = byte_of_character(next_code_point(characters, position));
    if (!byte) {
      out.resize(start);
      out.append(characters);
      return;
    }
    out.push_back(static_cast<char>(*byte));
  }
}

}  // namespace octet::text
