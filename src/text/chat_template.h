// ChatTemplate: a checkpoint's chat template (Jinja), parsed once and rendered for each conversation.
//
// The subset of Jinja 3 that published chat templates use; a construct outside it is an Error when the
// template is parsed, with line and column. Rendering follows transformers' environment: trim_blocks and
// lstrip_blocks on, raise_exception(), strftime_now(), tojson with ensure_ascii off. Immutable, thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace octet::text {

class ChatTemplate {
 public:
  // Throws Error{unsupported or invalid_file}, context "FILE:LINE:COLUMN".
  static ChatTemplate parse(std::string_view source, std::string file);

  // `variables_json` is a JSON object with messages, add_generation_prompt, bos_token, eos_token, tools, …
  // (object member order is kept). Throws Error, with line and column: invalid_file for an undefined operation,
  // as parse() does for what it can see; invalid_argument for raise_exception(message), with which a template
  // refuses a conversation.
  std::string render(std::string_view variables_json) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace octet::text
