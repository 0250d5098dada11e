#include "text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

// What an unknown character costs beyond the least probable token. Source: SentencePiece's kUnkPenalty.
constexpr double kUnknownPenalty = 10.0;

}  // namespace

struct Unigram::Step {
  std::size_t begin = 0;
  std::int32_t id = -1;  // -1: nothing ends here
  double score = 0;
};

void Unigram::prepare(std::vector<std::string> tokens, std::vector<double> scores,
                      const std::vector<bool>& unseen) {
  scores_ = std::move(scores);
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t id = 0; id < scores_.size(); ++id) {
    if (!unseen[id]) least = std::min(least, scores_[id]);
  }
  unknown_score_ = least - kUnknownPenalty;
  const std::size_t count = tokens.size();
  set_tokens(std::move(tokens), std::vector<bool>(count, true));
  for (std::int32_t id = 0; id < size(); ++id) {
    if (!token(id)->empty() && find(*token(id)) == id && !unseen[static_cast<std::size_t>(id)])
      sorted_.push_back(id);
  }
  std::sort(sorted_.begin(), sorted_.end(),
            [this](std::int32_t a, std::int32_t b) { return *token(a) < *token(b); });
}

std::unique_ptr<const Unigram> Unigram::parse(const JsonField& model) {
  auto unigram = std::make_unique<Unigram>();
  unigram->context_ = model.context();
  const JsonField vocab = model.at("vocab");
  if (!vocab.is_array()) vocab.expected("an array of [token, score]");
  if (vocab.raw().size() > static_cast<std::size_t>(kMaxTokenId)) vocab.fail("too many tokens");
  std::vector<std::string> tokens;
  std::vector<double> scores;
  for (const nlohmann::json& entry : vocab.raw()) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      vocab.fail("token " + std::to_string(tokens.size()) + ": expected [token, score]");
    }
    tokens.push_back(entry[0].get<std::string>());
    scores.push_back(entry[1].get<double>());
    if (!std::isfinite(scores.back())) {
      vocab.fail("the score of token \"" + tokens.back() + "\" is not a finite number");
    }
  }
  if (const auto unknown = model.find("unk_id")) {
    if (tokens.empty()) vocab.fail("the vocabulary is empty");
    unigram->unknown_ =
        static_cast<std::int32_t>(unknown->integer(0, static_cast<std::int64_t>(tokens.size()) - 1));
  }
  const std::vector<bool> unseen(tokens.size());
  unigram->prepare(std::move(tokens), std::move(scores), unseen);
  if (model.boolean_or("byte_fallback", false)) unigram->bytes_ = unigram->byte_tokens();
  return unigram;
}

std::unique_ptr<const Unigram> Unigram::of_pieces(ScoredPieces pieces, bool byte_fallback,
                                                  std::string context) {
  auto unigram = std::make_unique<Unigram>();
  unigram->context_ = std::move(context);
  unigram->unknown_ = pieces.find_unknown();
  std::vector<bool> unseen;
  for (const PieceType type : pieces.types) unseen.push_back(!is_found_in_text(type));
  unigram->prepare(std::move(pieces.tokens), {pieces.scores.begin(), pieces.scores.end()}, unseen);
  if (byte_fallback) unigram->bytes_ = unigram->byte_tokens();
  return unigram;
}

std::vector<Unigram::Step> Unigram::best_steps(std::string_view word) const {
  std::vector<Step> steps(word.size() + 1);
  const auto offer = [&](std::size_t begin, std::size_t end, std::int32_t id, double score) {
    Step& step = steps[end];
    score += steps[begin].score;
    if (step.id < 0 || score > step.score) step = {begin, id, score};
  };
  for (std::size_t begin = 0; begin < word.size();) {
    std::size_t next = begin;
    next_code_point(word, next);
    bool single = false;  // some token is this one character
    // The tokens that begin with the bytes seen so far are a range of sorted_, which each byte narrows.
    auto low = sorted_.begin();
    auto high = sorted_.end();
    for (std::size_t depth = 0; begin + depth < word.size() && low != high; ++depth) {
      const auto byte = static_cast<unsigned char>(word[begin + depth]);
      const auto at = [&](std::int32_t id) {  // the byte at `depth`; -1 behind the end
        const std::string& text = *token(id);
        return depth < text.size() ? static_cast<int>(static_cast<unsigned char>(text[depth])) : -1;
      };
      low = std::partition_point(low, high, [&](std::int32_t id) { return at(id) < byte; });
      high = std::partition_point(low, high, [&](std::int32_t id) { return at(id) <= byte; });
      if (low == high || token(*low)->size() != depth + 1) continue;
      const std::size_t end = begin + depth + 1;
      offer(begin, end, *low, scores_[static_cast<std::size_t>(*low)]);
      if (end == next) single = true;
    }
    if (!single) {
      if (!unknown_) {
        throw Error(ErrorCode::invalid_file,
                    "the text has a character that is no token, and there is no unk_id", context_);
      }
      offer(begin, next, *unknown_, unknown_score_);
    }
    begin = next;
  }
  return steps;
}

void Unigram::append(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (const std::optional<std::int32_t> id = find(piece)) {
    ids.push_back(*id);
    return;
  }
  const auto missing = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)] < 0; };
  if (!bytes_.empty() && std::none_of(piece.begin(), piece.end(), missing)) {
    for (const char byte : piece) ids.push_back(bytes_[static_cast<unsigned char>(byte)]);
    return;
  }
  ids.push_back(*unknown_);  // best_steps() has seen that there is one
}

void Unigram::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.empty()) return;
  const std::vector<Step> steps = best_steps(word);
  std::vector<std::pair<std::size_t, std::size_t>> pieces;  // from the last to the first
  bool fuses = false;                                       // the last of `pieces` is unknown
  for (std::size_t end = word.size(); end > 0; end = steps[end].begin) {
    const bool unknown = unknown_ && steps[end].id == *unknown_;
    if (unknown && fuses) {
      pieces.back().first = steps[end].begin;
    } else {
      pieces.emplace_back(steps[end].begin, end);
    }
    fuses = unknown;
  }
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    append(word.substr(piece->first, piece->second - piece->first), ids);
  }
}

}  // namespace octet::text
