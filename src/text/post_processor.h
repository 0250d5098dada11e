// PostProcessor: the "post_processor" of a tokenizer.json, which adds tokens such as BOS around a prompt's.
//
// TemplateProcessing, ByteLevel (which concerns offsets only) and Sequence; any other is an
// Error{unsupported}. Immutable and thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "text/json_field.h"

namespace octet::text {

class PostProcessor {
 public:
  PostProcessor() = default;
  // `exists` says whether an id is a token's. Throws Error{invalid_file, unsupported}.
  static PostProcessor parse(const std::optional<JsonField>& field,
                             const std::function<bool(std::int32_t id)>& exists);

  // Without `add_special_tokens` only the places of the text itself count.
  std::vector<std::int32_t> apply(std::vector<std::int32_t> ids, bool add_special_tokens) const;

 private:
  // One piece of a template: the text's tokens where empty, else the special ones.
  struct Piece {
    bool is_text = false;
    std::vector<std::int32_t> ids;
  };
  using Template = std::vector<Piece>;

  void parse_into(const JsonField& field, int depth, const std::function<bool(std::int32_t id)>& exists);
  static Template parse_template(const JsonField& field, const std::function<bool(std::int32_t id)>& exists);

  std::vector<Template> templates_;  // applied one after another
};

}  // namespace octet::text
