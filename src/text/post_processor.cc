#include "text/post_processor.h"

#include <utility>

#include "text/token_model.h"

namespace octet::text {
namespace {

constexpr int kMaxNesting = 16;

}  // namespace

PostProcessor::Template PostProcessor::parse_template(const JsonField& field,
                                                      const std::function<bool(std::int32_t id)>& exists) {
  const std::optional<JsonField> special_tokens = field.find("special_tokens");
  Template result;
  bool has_text = false;
  for (const JsonField& element : field.at("single").elements()) {
    Piece piece;
    if (const auto sequence = element.find("Sequence")) {
      if (sequence->at("id").string() != "A") sequence->at("id").expected("A: \"single\" has one sequence");
      // Twice in each of several templates would grow without bound, and no model wants it.
      if (has_text) element.unsupported("the text a second time");
      piece.is_text = has_text = true;
    } else if (const auto special = element.find("SpecialToken")) {
      const JsonField name = special->at("id");
      const std::optional<JsonField> definition =
          special_tokens ? special_tokens->find(name.string()) : std::nullopt;
      if (!definition) name.fail(name.string() + " is not among special_tokens");
      for (const JsonField& id : definition->at("ids").elements()) {
        piece.ids.push_back(static_cast<std::int32_t>(id.integer(0, kMaxTokenId)));
        if (!exists(piece.ids.back())) id.fail("no token has the id " + std::to_string(piece.ids.back()));
      }
    } else {
      element.fail("expected {\"Sequence\": …} or {\"SpecialToken\": …}");
    }
    result.push_back(std::move(piece));
  }
  return result;
}

void PostProcessor::parse_into(const JsonField& field, int depth,
                               const std::function<bool(std::int32_t id)>& exists) {
  if (depth > kMaxNesting) field.fail("nested too deeply");
  const std::string type = field.at("type").string();
  if (type == "TemplateProcessing") {
    templates_.push_back(parse_template(field, exists));
  } else if (type == "Sequence") {
    for (const JsonField& inner : field.at("processors").elements()) parse_into(inner, depth + 1, exists);
  } else if (type != "ByteLevel") {
    field.unsupported("post-processor type \"" + type + "\" is not supported");
  }
}

PostProcessor PostProcessor::parse(const std::optional<JsonField>& field,
                                   const std::function<bool(std::int32_t id)>& exists) {
  PostProcessor result;
  if (field) result.parse_into(*field, 0, exists);
  return result;
}

std::vector<std::int32_t> PostProcessor::apply(std::vector<std::int32_t> ids, bool add_special_tokens) const {
  for (const Template& pieces : templates_) {
    std::vector<std::int32_t> result;
    for (const Piece& piece : pieces) {
      if (!piece.is_text && !add_special_tokens) continue;
      const std::vector<std::int32_t>& added = piece.is_text ? ids : piece.ids;
      result.insert(result.end(), added.begin(), added.end());
    }
    ids = std::move(result);
  }
  return ids;
}

}  // namespace octet::text
