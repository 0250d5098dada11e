#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/unicode_classes.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

bool ends_with_word(std::string_view text) {
  std::size_t position = text.size();
  return position > 0 && is_word_character(previous_code_point(text, position));
}

bool begins_with_word(std::string_view text) {
  std::size_t position = 0;
  return !text.empty() && is_word_character(next_code_point(text, position));
}

// Where the white space that ends at `end` begins, not before `least`.
std::size_t space_begin(std::string_view text, std::size_t least, std::size_t end) {
  while (end > least) {
    std::size_t before = end;
    if (!is_white_space(previous_code_point(text, before))) break;
    end = before;
  }
  return end;
}

std::size_t space_end(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    std::size_t after = begin;
    if (!is_white_space(next_code_point(text, after))) break;
    begin = after;
  }
  return begin;
}

}  // namespace

const std::uint32_t* StringFinder::child(std::uint32_t node, char byte) const {
  for (const auto& [key, target] : nodes_[node].children) {
    if (key == byte) return &target;
  }
  return nullptr;
}

bool StringFinder::insert(std::string_view text, std::size_t value) {
  if (nodes_.empty()) {
    nodes_.emplace_back();
    first_bytes_.assign(256, false);
  }
  first_bytes_[static_cast<unsigned char>(text.front())] = true;
  std::uint32_t node = 0;
  for (const char byte : text) {
    if (const std::uint32_t* next = child(node, byte)) {
      node = *next;
      continue;
    }
    const auto created = static_cast<std::uint32_t>(nodes_.size());
    nodes_.emplace_back();
    nodes_[node].children.emplace_back(byte, created);
    node = created;
  }
  if (nodes_[node].value) return false;
  nodes_[node].value = value;
  return true;
}

std::optional<StringFinder::Match> StringFinder::find(std::string_view text, std::size_t from) const {
  if (nodes_.empty()) return std::nullopt;
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Match> longest;
    std::uint32_t node = 0;
    for (std::size_t position = begin; position < text.size(); ++position) {
      const std::uint32_t* next = child(node, text[position]);
      if (next == nullptr) break;
      node = *next;
      if (nodes_[node].value) longest = Match{begin, position + 1, *nodes_[node].value};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

std::vector<TextPart> AddedTokens::split(std::string_view text, bool in_normalized) const {
  const StringFinder& finder = in_normalized ? in_normalized_ : in_original_;
  std::vector<TextPart> parts;
  std::size_t done = 0;
  std::size_t from = 0;
  while (const std::optional<StringFinder::Match> match = finder.find(text, from)) {
    from = match->end;
    const AddedToken& token = tokens_[match->value];
    if (token.single_word &&
        (ends_with_word(text.substr(0, match->begin)) || begins_with_word(text.substr(match->end)))) {
      continue;
    }
    // White space that a token before took with rstrip stays that token's.
    const std::size_t begin = token.lstrip ? space_begin(text, done, match->begin) : match->begin;
    const std::size_t end = token.rstrip ? space_end(text, match->end) : match->end;
    if (done < begin) parts.push_back({done, begin, std::nullopt});
    parts.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), std::nullopt});
  return parts;
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find(const std::string& content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

void AddedTokens::add(AddedToken token, const JsonField& field, const TokenModel& model,
                      const Normalizer& normalizer) {
  if (token.content.empty()) field.fail("the content is empty");
  if (const auto id = model.find(token.content); id && *id != token.id) {
    field.fail("token \"" + token.content + "\" has id " + std::to_string(token.id) + " here and " +
               std::to_string(*id) + " in the vocabulary");
  }
  if (const std::string* taken = model.token(token.id); taken != nullptr && *taken != token.content) {
    field.fail("token \"" + token.content + "\" has id " + std::to_string(token.id) +
               ", which is the vocabulary's for \"" + *taken + "\"");
  }
  const AddedToken* other = find(token.id);
  if (other == nullptr) other = find(token.content);
  if (other != nullptr) {
    field.fail("tokens \"" + other->content + "\" and \"" + token.content + "\" have the ids " +
               std::to_string(other->id) + " and " + std::to_string(token.id) + ": listed twice");
  }
  token.normalized_content = token.content;
  bool at_start = true;
  if (token.normalized) normalizer.apply(token.normalized_content, at_start);
  if (token.normalized_content.empty())
    field.fail("the normalizer leaves nothing of \"" + token.content + "\"");
  StringFinder& finder = token.normalized ? in_normalized_ : in_original_;
  if (!finder.insert(token.normalized_content, tokens_.size())) {
    field.fail("token \"" + token.content + "\" looks like another one once it is normalized");
  }
  by_id_.emplace(token.id, tokens_.size());
  by_content_.emplace(token.content, tokens_.size());
  tokens_.push_back(std::move(token));
}

AddedTokens AddedTokens::parse(const std::optional<JsonField>& field, const TokenModel& model,
                               const Normalizer& normalizer) {
  AddedTokens result;
  if (!field) return result;
  for (const JsonField& element : field->elements()) {
    AddedToken token;
    token.id = static_cast<std::int32_t>(element.at("id").integer(0, kMaxTokenId));
    token.content = element.at("content").string();
    token.special = element.at("special").boolean();
    token.normalized = element.at("normalized").boolean();
    token.single_word = element.at("single_word").boolean();
    token.lstrip = element.at("lstrip").boolean();
    token.rstrip = element.at("rstrip").boolean();
    result.add(std::move(token), element, model, normalizer);
  }
  return result;
}

}  // namespace octet::text
