// Questions about code points, answered as huggingface/tokenizers answers them.
//
// Its parts know different versions of Unicode, older and newer than the libraries here;
// unicode_tables.h holds the differences, so that the same text gives the same tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace octet::text {

bool is_white_space(char32_t c);                  // the White_Space property
bool is_numeric(char32_t c);                      // categories Nd, Nl, No
bool is_punctuation(char32_t c);                  // categories P*, and ASCII's punctuation
bool is_word_character(char32_t c);               // \w: letters, marks, decimal digits, connectors, joiners
bool is_strippable_mark(char32_t c);              // what StripAccents removes
bool is_inert_in_forms(char32_t c);               // what NFC, NFD, NFKC and NFKD pass over
void append_lower(std::string& out, char32_t c);  // the full lower-case mapping, without context

// Calls visit(first, last) for the ranges that Unicode 15 and 16 gave a category that begins with `prefix`
// ("L", "Lu", …).
void for_each_new_range(std::string_view prefix,
                        const std::function<void(std::uint32_t first, std::uint32_t last)>& visit);

}  // namespace octet::text
