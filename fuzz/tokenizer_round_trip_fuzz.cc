// A fixed small tokenizer of each kind (byte-level, byte fallback, Metaspace) and any bytes, as a text and as
// token ids. A text that is UTF-8 must come back from its tokens; ids must decode to the same text at once and
// piece by piece, always UTF-8.
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using nlohmann::json;
using octet::text::Tokenizer;

void add_token(json& document, const std::string& token) {
  json& vocab = document["model"]["vocab"];
  const std::size_t id = vocab.size();
  vocab.emplace(token, id);
}

void add_merge(json& document, const std::string& left, const std::string& right) {
  add_token(document, left + right);
  document["model"]["merges"].push_back(json::array({left, right}));
}

Tokenizer finished(json document) {
  const std::size_t next = document["model"]["vocab"].size();
  document["added_tokens"] = json::array({{{"id", next},
                                           {"content", "<|x|>"},
                                           {"special", true},
                                           {"normalized", false},
                                           {"single_word", false},
                                           {"lstrip", false},
                                           {"rstrip", false}}});
  return Tokenizer::parse(document.dump(), "fuzz");
}

json empty_document() {
  return {{"model", {{"type", "BPE"}, {"vocab", json::object()}, {"merges", json::array()}}}};
}

Tokenizer byte_level(bool digits) {
  json document = empty_document();
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    octet::text::append_byte_characters(character, std::string(1, static_cast<char>(byte)));
    add_token(document, character);
  }
  add_merge(document, "a", "a");
  add_merge(document, "aa", "aa");
  add_merge(document, "Ġ", "a");
  add_merge(document, "Ã", "©");
  add_merge(document, "Ġ", "Ġ");
  const json step = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const json both = json::array({json{{"type", "Digits"}, {"individual_digits", true}}, step});
  document["pre_tokenizer"] = digits ? json{{"type", "Sequence"}, {"pretokenizers", both}} : step;
  document["decoder"] = step;
  return finished(std::move(document));
}

json byte_fallback_document() {
  json document = empty_document();
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (std::size_t byte = 0; byte < 256; ++byte) {
    add_token(document, std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
  }
  for (const char* token : {"▁", "a", "b", "é", "日"}) add_token(document, token);
  add_merge(document, "▁", "a");
  add_merge(document, "a", "b");
  document["model"]["byte_fallback"] = true;
  return document;
}

Tokenizer byte_fallback() {
  json document = byte_fallback_document();
  const json space = {{"String", " "}};
  const json mark = {{"String", "▁"}};
  document["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "Prepend"}, {"prepend", "▁"}}, {{"type", "Replace"}, {"pattern", space}, {"content", "▁"}}}}};
  document["decoder"] = {{"type", "Sequence"},
                         {"decoders",
                          {{{"type", "Replace"}, {"pattern", mark}, {"content", " "}},
                           {{"type", "ByteFallback"}},
                           {{"type", "Fuse"}},
                           {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  return finished(std::move(document));
}

Tokenizer metaspace() {
  json document = byte_fallback_document();
  document["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  document["decoder"] = {{"type", "Sequence"},
                         {"decoders",
                          {{{"type", "ByteFallback"}},
                           {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}},
                           {{"type", "Fuse"}},
                           {{"type", "Strip"}, {"content", "b"}, {"start", 0}, {"stop", 2}}}}};
  return finished(std::move(document));
}

void check(bool holds) {
  if (!holds) __builtin_trap();
}

// `exact`: decoding undoes encoding.
void check_text(const Tokenizer& tokenizer, const std::string& text, bool exact) {
  const bool valid = !octet::text::find_invalid_utf8(text);
  try {
    const std::vector<std::int32_t> ids = tokenizer.encode(text);
    check(valid);
    if (exact) check(tokenizer.decode(ids, false) == text);
  } catch (const octet::Error& error) {
    check(!valid && error.code() == octet::ErrorCode::invalid_argument);
  }
}

void check_ids(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  for (const bool skip : {false, true}) {
    octet::text::Detokenizer detokenizer(tokenizer, skip);
    std::string streamed;
    const auto take = [&](const std::string& piece) {
      check(!octet::text::find_invalid_utf8(piece));
      streamed += piece;
    };
    for (const std::int32_t id : ids) take(detokenizer.add(id));
    take(detokenizer.finish());
    check(streamed == tokenizer.decode(ids, skip));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::array<Tokenizer, 4> tokenizers = {byte_level(false), byte_level(true), byte_fallback(),
                                                      metaspace()};
  const std::string text(reinterpret_cast<const char*>(data), size);
  // Tokenizers without a byte alphabet spell the space as a character that a text may hold too.
  const bool holds_mark = text.find("▁") != std::string::npos;
  for (std::size_t k = 0; k < tokenizers.size(); ++k) {
    const bool after_space = k == 2 && text.find("<|x|>") != std::string::npos;
    check_text(tokenizers[k], text, k < 2 || (k == 2 && !holds_mark && !after_space));
    std::vector<std::int32_t> ids;
    for (std::size_t at = 0; at + 1 < size; at += 2) {
      ids.push_back((data[at] * 256 + data[at + 1]) % tokenizers[k].vocab_size());
    }
    check_ids(tokenizers[k], ids);
  }
  return 0;
}
