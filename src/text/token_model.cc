#include "text/token_model.h"

#include <cstdio>
#include <utility>

#include "text/bpe.h"
#include "text/unigram.h"

namespace octet::text {

std::optional<std::int32_t> TokenModel::find(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* TokenModel::token(std::int32_t id) const {
  if (id < 0 || id >= size() || !exists_[static_cast<std::size_t>(id)]) return nullptr;
  return &tokens_[static_cast<std::size_t>(id)];
}

void TokenModel::set_tokens(std::vector<std::string> tokens, std::vector<bool> exists) {
  tokens_ = std::move(tokens);
  exists_ = std::move(exists);
  ids_.reserve(tokens_.size());
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    if (exists_[id]) ids_[tokens_[id]] = static_cast<std::int32_t>(id);
  }
}

std::vector<std::int32_t> TokenModel::byte_tokens() const {
  std::vector<std::int32_t> bytes(256, -1);
  for (unsigned byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    if (const auto id = find(name)) bytes[byte] = *id;
  }
  return bytes;
}

std::unique_ptr<const TokenModel> TokenModel::parse(const JsonField& model) {
  const auto type = model.find("type");
  if (!type) {
    // Files from before models had a type: only BPE has merges.
    if (!model.find("merges")) model.fail("\"type\" is missing");
    return Bpe::parse(model);
  }
  const std::string name = type->string();
  if (name == "BPE") return Bpe::parse(model);
  if (name == "Unigram") return Unigram::parse(model);
  type->unsupported("model type \"" + name + "\" is not supported, only BPE and Unigram are" +
                    (name == "WordPiece" ? " (WordPiece is for encoders such as BERT)" : ""));
}

}  // namespace octet::text
