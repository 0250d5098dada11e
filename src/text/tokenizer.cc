#include "text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/error.h"
#include "files/gguf.h"
#include "text/detokenizer.h"
#include "text/gguf_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

namespace octet::text {
// "truncation" and "padding" are settings for making batches; like transformers' encode, Octet encodes a
// prompt whole.
void read_parts(const JsonField& root, TokenizerParts& parts) {
  if (const auto version = root.find("version"); version && version->string() != "1.0") {
    version->unsupported("version \"" + version->string() + "\" is not supported, only \"1.0\" is");
  }
  if (!parts.model) parts.model = TokenModel::parse(root.at("model"));
  parts.normalizer = Normalizer::parse(root.find("normalizer"));
  parts.pre_tokenizer = PreTokenizer::parse(root.find("pre_tokenizer"));
  parts.added = AddedTokens::parse(root.find("added_tokens"), *parts.model, parts.normalizer);
  for (const AddedToken& token : parts.added.tokens()) {
    if (token.special) parts.special_contents.insert(token.content);
  }
  parts.post_processor = PostProcessor::parse(
      root.find("post_processor"), [&](std::int32_t id) { return parts.decoded_token(id) != nullptr; });
  parts.decoder = Decoder::parse(root.find("decoder"));
}

namespace {

// The words of a stretch of normalized text, each through the cache or the model.
void encode_words(const TokenizerParts& parts, std::string_view text, bool at_start, WordCache& cache,
                  std::vector<std::int32_t>& ids) {
  Words words;
  words.buffer = text;
  words.words.push_back({0, text.size(), at_start});
  parts.pre_tokenizer.apply(words);
  for (const Words::Word& word : words.words) {
    std::string_view rest = words.text(word);
    while (!rest.empty()) {
      const std::string_view part = rest.substr(0, parts.model->part_end(rest));
      rest.remove_prefix(part.size());
      if (cache.find(part, ids)) continue;
      const std::size_t before = ids.size();
      parts.model->encode(part, ids);
      cache.insert(part, std::span(ids).subspan(before));
    }
  }
}

void encode_text(const TokenizerParts& parts, std::string_view text, WordCache& cache,
                 std::vector<std::int32_t>& ids) {
  std::string normalized;
  for (const TextPart& part : parts.added.split(text, false)) {
    if (part.id) {
      ids.push_back(*part.id);
      continue;
    }
    normalized.assign(text.substr(part.begin, part.end - part.begin));
    bool at_start = part.begin == 0;
    parts.normalizer.apply(normalized, at_start);
    for (const TextPart& inner : parts.added.split(normalized, true)) {
      if (inner.id) {
        ids.push_back(*inner.id);
      } else {
        encode_words(parts, std::string_view(normalized).substr(inner.begin, inner.end - inner.begin),
                     at_start && inner.begin == 0, cache, ids);
      }
    }
  }
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}

Tokenizer Tokenizer::parse(std::string_view json, std::string file) {
  auto parts = std::make_shared<TokenizerParts>();
  parts->file = std::move(file);
  const nlohmann::json document = parse_json(json, parts->file);
  read_parts(JsonField(document, parts->file), *parts);
  return Tokenizer(std::move(parts));
}

Tokenizer Tokenizer::load(const std::string& path) {
  if (files::is_gguf_file(path)) return Tokenizer(load_gguf_tokenizer(path));
  const std::filesystem::path directory(path);
  std::error_code ignored;
  if (!std::filesystem::exists(directory / "tokenizer.json", ignored)) {
    if (std::filesystem::exists(directory / "tokenizer.model", ignored)) {
      return Tokenizer(load_sentencepiece_tokenizer(path));
    }
    if (const std::string gguf = files::find_gguf(path); !gguf.empty())
      return Tokenizer(load_gguf_tokenizer(gguf));
    throw Error(ErrorCode::not_found, "no such file, nor a tokenizer.model or a .gguf file beside it",
                path + "/tokenizer.json");
  }
  auto parts = std::make_shared<TokenizerParts>();
  parts->file = path + "/tokenizer.json";
  {
    const nlohmann::json document = parse_json(read_text_file(parts->file), parts->file);
    read_parts(JsonField(document, parts->file), *parts);
  }
  parts->config = TokenizerConfig::load(path);
  return Tokenizer(std::move(parts));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (const std::optional<std::size_t> offset = find_invalid_utf8(text)) {
    throw Error(ErrorCode::invalid_argument, "the text is not valid UTF-8 at byte " + std::to_string(*offset),
                "text");
  }
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  const std::unique_lock lock(parts_->cache_mutex, std::try_to_lock);
  WordCache own;
  encode_text(*parts_, text, lock.owns_lock() ? parts_->cache : own, ids);
  return parts_->post_processor.apply(std::move(ids), add_special_tokens);
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special_tokens) const {
  Detokenizer detokenizer(*this, skip_special_tokens);
  std::string text;
  for (const std::int32_t id : ids) text += detokenizer.add(id);
  return text + detokenizer.finish();
}

std::string Tokenizer::token_bytes(std::int32_t id) const {
  if (const AddedToken* token = parts_->added.find(id)) return token->content;
  const std::string* token = parts_->model->token(id);
  return token != nullptr ? parts_->decoder.token_bytes(*token) : std::string();
}

bool Tokenizer::is_special(std::int32_t id) const {
  const AddedToken* token = parts_->added.find(id);
  return token != nullptr && token->special;
}

std::optional<std::int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = parts_->added.find(std::string(token))) return added->id;
  return parts_->model->find(token);
}

std::string Tokenizer::id_to_token(std::int32_t id) const {
  if (const AddedToken* token = parts_->added.find(id)) return token->content;
  const std::string* token = parts_->model->token(id);
  return token != nullptr ? *token : std::string();
}

int Tokenizer::vocab_size() const {
  std::int32_t size = parts_->model->size();
  for (const AddedToken& token : parts_->added.tokens()) size = std::max(size, token.id + 1);
  return size;
}

const std::string& Tokenizer::bos_token() const { return parts_->config.bos_token; }
const std::string& Tokenizer::eos_token() const { return parts_->config.eos_token; }
const std::string& Tokenizer::unk_token() const { return parts_->config.unk_token; }
const std::string& Tokenizer::pad_token() const { return parts_->config.pad_token; }
const std::string& Tokenizer::chat_template() const { return parts_->config.chat_template; }
const std::string& Tokenizer::chat_template_file() const { return parts_->config.chat_template_file; }

}  // namespace octet::text
