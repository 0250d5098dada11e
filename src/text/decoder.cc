#include "text/decoder.h"

#include <utility>

#include "text/decoder_stages.h"

namespace octet::text {
namespace {

constexpr int kMaxNesting = 16;
constexpr std::int64_t kMaxStrip = 1 << 20;

// Metaspace keeps a space before the first word only where none was put there.
bool metaspace_drops_first(const JsonField& field) {
  const auto scheme = field.find("prepend_scheme");
  if (scheme) {
    const std::string name = scheme->string();
    if (name != "always" && name != "first" && name != "never") scheme->expected("always, first or never");
    if (name != "never" && !field.boolean_or("add_prefix_space", true)) {
      field.fail("add_prefix_space is false, but prepend_scheme is not never");
    }
    return name != "never";
  }
  return field.boolean_or("add_prefix_space", true);
}

void parse_into(const JsonField& field, int depth, std::vector<DecoderStage>& stages) {
  if (depth > kMaxNesting) field.fail("nested too deeply");
  const std::string type = field.at("type").string();
  if (type == "ByteLevel") {
    stages.push_back(make_byte_level());
  } else if (type == "ByteFallback") {
    stages.push_back(make_byte_fallback());
  } else if (type == "Replace") {
    stages.push_back(make_replace(TextPattern::parse(field.at("pattern")), field.at("content").string()));
  } else if (type == "Metaspace") {
    stages.push_back(make_metaspace(field.at("replacement").character(), metaspace_drops_first(field)));
  } else if (type == "Fuse") {
    stages.push_back(make_fuse());
  } else if (type == "Strip") {
    stages.push_back(make_strip(field.at("content").character(),
                                static_cast<std::size_t>(field.at("start").integer(0, kMaxStrip)),
                                static_cast<std::size_t>(field.at("stop").integer(0, kMaxStrip))));
  } else if (type == "BPEDecoder") {
    const JsonField suffix = field.at("suffix");
    if (suffix.string().empty()) suffix.expected("a string that is not empty");
    stages.push_back(make_word_end(suffix.string()));
  } else if (type == "Sequence") {
    for (const JsonField& inner : field.at("decoders").elements()) parse_into(inner, depth + 1, stages);
  } else {
    field.unsupported("decoder type \"" + type + "\" is not supported");
  }
}

}  // namespace

Decoder::Decoder() : stages_{make_join_with_spaces()} {}

Decoder Decoder::parse(const std::optional<JsonField>& field) {
  Decoder decoder;
  if (!field) return decoder;
  decoder.stages_.clear();
  parse_into(*field, 0, decoder.stages_);
  return decoder;
}

Decoder::Stream Decoder::start() const {
  Stream stream;
  for (const auto& stage : stages_) stream.stages_.push_back(stage->start());
  return stream;
}

std::string Decoder::token_bytes(std::string token) const {
  for (const auto& stage : stages_) stage->rewrite_token(token);
  return token;
}

void Decoder::Stream::push(std::size_t stage, std::string_view piece, bool ends_token) {
  if (stage == stages_.size()) {
    text_ += piece;
    return;
  }
  stages_[stage]->push(piece, ends_token,
                       [this, stage](std::string_view text, bool ends) { push(stage + 1, text, ends); });
}

std::string Decoder::Stream::add(std::string_view token) {
  push(0, token, true);
  return std::exchange(text_, {});
}

std::string Decoder::Stream::finish() {
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    stages_[stage]->finish([this, stage](std::string_view text, bool ends) { push(stage + 1, text, ends); });
  }
  return std::exchange(text_, {});
}

}  // namespace octet::text
