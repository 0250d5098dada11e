// Making a Bpe: of the "model" of a tokenizer.json, or of scored pieces.
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

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
  std::vector<std::string> tokens(static_cast<std::size_t>(largest + 1));
  std::vector<bool> exists(tokens.size());
  for (const auto& [token, value] : vocab.raw().items()) {
    const auto id = value.get<std::size_t>();
    if (exists[id]) {
      vocab.fail("tokens \"" + tokens[id] + "\" and \"" + token + "\" have the same id " + std::to_string(id));
    }
    tokens[id] = token;
    exists[id] = true;
  }
  set_tokens(std::move(tokens), std::move(exists));
  index_characters();
}

void Bpe::index_characters() {
  characters_.assign(0x800, -1);
  for (std::int32_t id = 0; id < size(); ++id) {
    const std::string* token = this->token(id);
    if (token == nullptr || token->empty() || token->size() > 2 || find(*token) != id) continue;
    if (find_invalid_utf8(*token)) continue;
    std::size_t position = 0;
    const char32_t c = next_code_point(*token, position);
    if (position == token->size()) characters_[c] = id;
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

// The pairs that make a piece share its rank, and pieces of one score share theirs: of equals the leftmost
// joins.
void Bpe::add_piece_merges(const ScoredPieces& pieces) {
  const auto joins = [&](std::int32_t id) {
    return is_found_in_text(pieces.types[static_cast<std::size_t>(id)]);
  };
  struct Join {
    std::int32_t left, right, result;
  };
  std::vector<Join> found;
  // Only where both sides have the length of some piece is it worth to look them up: a piece of a megabyte
  // would be read a million times.
  std::unordered_set<std::size_t> lengths;
  for (std::int32_t id = 0; id < size(); ++id) lengths.insert(token(id)->size());
  mark_begins_parts_ = find(kSpaceMark).has_value();
  for (std::int32_t id = 0; id < size(); ++id) {
    const std::string_view piece = *token(id);
    if (!joins(id) || find(piece) != id) continue;
    for (std::size_t cut = 0; cut < piece.size();) {
      next_code_point(piece, cut);
      if (cut >= piece.size()) break;
      if (!lengths.contains(cut) || !lengths.contains(piece.size() - cut)) continue;
      const auto left = find(piece.substr(0, cut));
      const auto right = left ? find(piece.substr(cut)) : std::nullopt;
      if (!right || !joins(*left) || !joins(*right)) continue;
      found.push_back({*left, *right, id});
      if (piece.substr(cut).starts_with(kSpaceMark) && !piece.substr(0, cut).ends_with(kSpaceMark)) {
        mark_begins_parts_ = false;
      }
    }
  }
  std::vector<float> scores = pieces.scores;
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  merges_.reserve(found.size());
  for (const Join& join : found) {
    const float score = pieces.scores[static_cast<std::size_t>(join.result)];
    const auto rank = std::lower_bound(scores.begin(), scores.end(), score, std::greater<>()) - scores.begin();
    merges_.insert(join.left, join.right, {static_cast<std::uint32_t>(rank), join.result});
  }
}

std::unique_ptr<const Bpe> Bpe::of_pieces(ScoredPieces pieces, std::string context) {
  auto bpe = std::make_unique<Bpe>();
  bpe->context_ = std::move(context);
  bpe->set_tokens(std::move(pieces.tokens), std::vector<bool>(pieces.types.size(), true));
  bpe->index_characters();
  bpe->add_piece_merges(pieces);
  bpe->bytes_ = bpe->byte_tokens();
  bpe->byte_fallback_ = bpe->fuse_unk_ = true;
  bpe->unk_id_ = pieces.find_unknown();
  if (bpe->unk_id_) bpe->unk_token_ = *bpe->token(*bpe->unk_id_);
  return bpe;
}

std::unique_ptr<const Bpe> Bpe::parse(const JsonField& model) {
  if (const auto dropout = model.find("dropout")) {
    if (!dropout->raw().is_number() || dropout->raw().get<double>() != 0.0) {
      dropout->unsupported("dropout makes tokens random, which is for training; expected null");
    }
  }
  auto bpe = std::make_unique<Bpe>();
  bpe->context_ = model.context();
  bpe->prefix_ = optional_string(model, "continuing_subword_prefix");
  bpe->suffix_ = optional_string(model, "end_of_word_suffix");
  bpe->fuse_unk_ = model.boolean_or("fuse_unk", false);
  bpe->byte_fallback_ = model.boolean_or("byte_fallback", false);
  bpe->ignore_merges_ = model.boolean_or("ignore_merges", false);
  bpe->read_vocabulary(model.at("vocab"));
  bpe->read_merges(model.at("merges"));
  bpe->bytes_ = bpe->byte_tokens();
  if (const auto unk = model.find("unk_token")) {
    bpe->unk_token_ = unk->string();
    bpe->unk_id_ = bpe->find(*bpe->unk_token_);
    if (bpe->unk_token_->ends_with(kSpaceMark)) bpe->mark_begins_parts_ = false;
  }
  return bpe;
}

}  // namespace octet::text
