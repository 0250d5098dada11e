// Reading the "model" of a tokenizer.json.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "text/bpe.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

std::string optional_string(const JsonField& model, const std::string& key) {
  const auto member = model.find(key);
  return member ? member->string() : std::string();
}

[[noreturn]] void bad_merge(const JsonField& merges, std::size_t index, const std::string& message) {
  merges.fail("merge " + std::to_string(index) + ": " + message);
}

}  // namespace

void Bpe::read_vocabulary(const JsonField& vocab) {
  if (!vocab.is_object()) vocab.expected("an object of token: id");
  std::int64_t largest = -1;
  for (const auto& [token, id] : vocab.raw().items()) {
    const bool good = id.is_number_integer() &&
                      (!id.is_number_unsigned() || id.get<std::uint64_t>() <= kMaxTokenId) &&
                      id.get<std::int64_t>() >= 0 && id.get<std::int64_t>() <= kMaxTokenId;
    if (!good) {
      vocab.fail("the id of token \"" + token + "\" is " + id.dump() + ", expected an integer from 0 to " +
                 std::to_string(kMaxTokenId));
    }
    largest = std::max(largest, id.get<std::int64_t>());
  }
  tokens_.resize(static_cast<std::size_t>(largest + 1));
  exists_.resize(tokens_.size());
  for (const auto& [token, value] : vocab.raw().items()) {
    const auto id = value.get<std::size_t>();
    if (exists_[id]) {
      vocab.fail("tokens \"" + tokens_[id] + "\" and \"" + token + "\" have the same id " + std::to_string(id));
    }
    tokens_[id] = token;
    exists_[id] = true;
    ++count_;
  }
  characters_.assign(0x800, -1);
  ids_.reserve(static_cast<std::size_t>(count_));
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    if (!exists_[id]) continue;
    const std::string& token = tokens_[id];
    ids_.emplace(token, static_cast<std::int32_t>(id));
    if (token.empty() || token.size() > 2) continue;
    std::size_t position = 0;
    const char32_t c = next_code_point(token, position);
    if (position == token.size()) characters_[c] = static_cast<std::int32_t>(id);
  }
}

void Bpe::add_merge(const std::string& left, const std::string& right, std::uint32_t rank,
                    const JsonField& merges, std::size_t index) {
  const auto known = [&](const std::string& token) {
    const auto id = find(token);
    if (!id) bad_merge(merges, index, "token \"" + token + "\" is not in the vocabulary");
    return *id;
  };
  const std::int32_t left_id = known(left);
  const std::int32_t right_id = known(right);
  // A merge of "…x" with "▁…" would join across the beginning of a part.
  if (right.starts_with(kSpaceMark) && !left.ends_with(kSpaceMark)) mark_begins_parts_ = false;
  if (right.size() < prefix_.size()) {
    bad_merge(merges, index, "\"" + right + "\" is shorter than continuing_subword_prefix");
  }
  merges_.insert(left_id, right_id, {rank, known(left + right.substr(prefix_.size()))});
}

void Bpe::read_merges(const JsonField& merges) {
  if (!merges.is_array()) merges.expected("an array");
  merges_.reserve(merges.raw().size());
  mark_begins_parts_ = find(kSpaceMark) && prefix_.empty() && suffix_.empty() && !ignore_merges_;
  std::uint32_t rank = 0;
  for (std::size_t index = 0; index < merges.raw().size(); ++index) {
    const nlohmann::json& merge = merges.raw()[index];
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(), rank++, merges,
                index);
    } else if (merge.is_string()) {
      const auto& line = merge.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      const std::size_t space = line.find(' ');
      if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
        bad_merge(merges, index, "expected two tokens with one space between them, found \"" + line + "\"");
      }
      add_merge(line.substr(0, space), line.substr(space + 1), rank++, merges, index);
    } else {
      bad_merge(merges, index, "expected \"a b\" or [\"a\", \"b\"]");
    }
  }
}

void Bpe::read_byte_tokens() {
  bytes_.assign(256, -1);
  for (unsigned byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    if (const auto id = find(name)) bytes_[byte] = *id;
  }
}

Bpe Bpe::parse(const JsonField& model) {
  const auto type = model.find("type");
  // Files from before models had a type: only BPE has merges.
  if (!type && !model.find("merges")) model.fail("\"type\" is missing");
  if (type && type->string() != "BPE") {
    type->unsupported("model type \"" + type->string() + "\" is not supported, only BPE is");
  }
  if (const auto dropout = model.find("dropout")) {
    if (!dropout->raw().is_number() || dropout->raw().get<double>() != 0.0) {
      dropout->unsupported("dropout makes tokens random, which is for training; expected null");
    }
  }
  Bpe bpe;
  bpe.context_ = model.context();
  bpe.prefix_ = optional_string(model, "continuing_subword_prefix");
  bpe.suffix_ = optional_string(model, "end_of_word_suffix");
  bpe.fuse_unk_ = model.boolean_or("fuse_unk", false);
  bpe.byte_fallback_ = model.boolean_or("byte_fallback", false);
  bpe.ignore_merges_ = model.boolean_or("ignore_merges", false);
  bpe.read_vocabulary(model.at("vocab"));
  bpe.read_merges(model.at("merges"));
  bpe.read_byte_tokens();
  if (const auto unk = model.find("unk_token")) {
    bpe.unk_token_ = unk->string();
    bpe.unk_id_ = bpe.find(*bpe.unk_token_);
    if (bpe.unk_token_->ends_with(kSpaceMark)) bpe.mark_begins_parts_ = false;
  }
  return bpe;
}

}  // namespace octet::text
