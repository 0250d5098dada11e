// The byte-level alphabet: each of the 256 bytes written as one printable character, so that any bytes can be
// the text of a token.
//
// Bytes that are printable in Latin-1 stand for themselves; the other 68 are U+0100 onward, in order.
// Source: GPT-2's bytes_to_unicode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace octet::text {

// Appends the characters of `bytes` (any bytes) to `out`.
void append_byte_characters(std::string& out, std::string_view bytes);

// The byte that a character stands for; nothing where it is not of the alphabet.
std::optional<unsigned char> byte_of_character(char32_t character);

// Appends the bytes of `characters` to `out`, or, where one is not of the alphabet, `characters` as they are.
void append_bytes_of(std::string& out, std::string_view characters);

}  // namespace octet::text
