// How GGUF's names for divisions into words (tokenizer.ggml.pre) read as parts of a tokenizer.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octet::text {

struct GgufWords {
  std::vector<std::string_view> patterns;  // splits one after another; matches and what lies between are words
  bool whole_words_first = false;          // a word that is a token is not cut: "ignore_merges"
  bool adds_bos = false;                   // where tokenizer.ggml.add_bos_token is absent
  bool composes = false;                   // NFC
};

// Null where the name is not known; the names that are.
const GgufWords* find_gguf_words(std::string_view name);
std::string gguf_words_names();

}  // namespace octet::text
