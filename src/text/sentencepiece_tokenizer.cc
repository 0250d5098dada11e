#include "text/sentencepiece_tokenizer.h"

#include <charconv>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "text/bpe.h"
#include "text/pipeline.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_parts.h"
#include "text/unigram.h"

namespace octet::text {
namespace {

using nlohmann::json;

void require_supported(const SentencePieceModel& model, const std::string& file) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::unsupported, what + " is not supported", file);
  };
  if (model.kind == SentencePieceModel::Kind::word) refuse("model_type WORD");
  if (model.kind == SentencePieceModel::Kind::character) refuse("model_type CHAR");
  if (model.whitespace_as_suffix) refuse("treat_whitespace_as_suffix");
  if (!model.escape_whitespaces) refuse("escape_whitespaces: false");
  if (!model.charsmap.empty()) refuse("a precompiled_charsmap without a tokenizer.json");
}

// The pieces that are found in a text as they stand, and added_tokens_decoder, whose entries count before them.
json added_tokens(const ScoredPieces& pieces, const JsonField& config) {
  std::map<std::int32_t, json> added;
  for (std::size_t k = 0; k < pieces.tokens.size(); ++k) {
    const PieceType type = pieces.types[k];
    const auto id = static_cast<std::int32_t>(k);
    if (pieces.tokens[k].empty() || (!is_special(type) && type != PieceType::user_defined)) continue;
    added[id] = pipeline::added_token(id, pieces.tokens[k], is_special(type));
  }
  if (const auto decoder = config.find("added_tokens_decoder")) {
    if (!decoder->is_object()) decoder->expected("an object of id: token");
    for (const auto& [key, value] : decoder->raw().items()) {
      std::int32_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxTokenId) {
        decoder->fail("\"" + key + "\" is no token id");
      }
      if (!value.is_object()) decoder->at(key).expected("an object");
      json token = value;
      token["id"] = id;
      added[id] = std::move(token);
    }
  }
  json list = json::array();
  for (auto& [id, token] : added) list.push_back(std::move(token));
  return list;
}

// Where the text's beginning gets a space of its own only if it has none (SpacePrefix::first), one is left
// there.
void remove_extra_whitespaces(json& document, pipeline::SpacePrefix prefix) {
  const auto replace = [](const char* regex, const char* content) {
    return json{{"type", "Replace"}, {"pattern", {{"Regex", regex}}}, {"content", content}};
  };
  // Of the text: ^ and $ are those of a line.
  json steps = json::array({replace(" +\\z", ""), replace(" {2,}", " ")});
  if (prefix != pipeline::SpacePrefix::first) steps.push_back(replace("\\A ", ""));
  if (document.contains("normalizer")) steps.push_back(document["normalizer"]);
  document["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

// The id of the token that goes before or behind a text: `name`, or the model's own.
std::optional<std::int32_t> token_around(const JsonField& config, const json& added, const TokenModel& model,
                                         const std::string& flag, bool by_default, std::string& name,
                                         std::int32_t model_id) {
  if (name.empty() && model_id >= 0) name = *model.token(model_id);
  if (!config.boolean_or(flag, by_default)) return std::nullopt;
  if (name.empty()) {
    if (config.find(flag))
      config.fail(flag + " is true, but neither this file nor tokenizer.model has the token");
    return std::nullopt;
  }
  for (const json& token : added) {
    if (token.at("content") == name) return token.at("id").get<std::int32_t>();
  }
  if (const auto id = model.find(name)) return id;
  config.fail("\"" + name + "\", which " + flag + " wants, is no token");
}

}  // namespace

std::shared_ptr<const TokenizerParts> load_sentencepiece_tokenizer(const std::string& directory) {
  auto parts = std::make_shared<TokenizerParts>();
  parts->file = directory + "/tokenizer.model";
  SentencePieceModel model = parse_sentencepiece_model(read_text_file(parts->file), parts->file);
  require_supported(model, parts->file);
  parts->config = TokenizerConfig::load(directory);

  const std::string config_file = directory + "/tokenizer_config.json";
  std::error_code ignored;
  const json config_document = std::filesystem::exists(config_file, ignored)
                                   ? parse_json(read_text_file(config_file), config_file)
                                   : json::object();
  const JsonField config(config_document, config_file);

  json document = json::object();
  const bool prefixed = config.boolean_or("add_prefix_space", model.add_dummy_prefix);
  const pipeline::SpacePrefix prefix = !prefixed                            ? pipeline::SpacePrefix::none
                                       : config.boolean_or("legacy", false) ? pipeline::SpacePrefix::every
                                                                            : pipeline::SpacePrefix::first;
  pipeline::set_sentencepiece(document, prefix);
  if (model.remove_extra_whitespaces) remove_extra_whitespaces(document, prefix);
  const json added = added_tokens(model.pieces, config);
  if (parts->config.unk_token.empty()) {
    if (const auto unknown = model.pieces.find_unknown()) {
      parts->config.unk_token = model.pieces.tokens[static_cast<std::size_t>(*unknown)];
    }
  }
  if (model.kind == SentencePieceModel::Kind::bpe) {
    parts->model = Bpe::of_pieces(std::move(model.pieces), parts->file);
  } else {
    parts->model = Unigram::of_pieces(std::move(model.pieces), model.byte_fallback, parts->file);
  }
  document["added_tokens"] = added;
  const auto around = [&](const char* flag, bool by_default, std::string& name, std::int32_t id) {
    return token_around(config, added, *parts->model, flag, by_default, name, id);
  };
  const auto bos = around("add_bos_token", true, parts->config.bos_token, model.bos_id);
  const auto eos = around("add_eos_token", false, parts->config.eos_token, model.eos_id);
  document["post_processor"] = pipeline::around(bos, eos);
  read_parts(JsonField(document, parts->file), *parts);
  return parts;
}

}  // namespace octet::text
