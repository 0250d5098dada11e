#include "text/chat_template.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_json.h"
#include "text/jinja_parser.h"
#include "text/jinja_text.h"

namespace octet::text {

struct ChatTemplate::Impl {
  std::string file;
  jinja::ast::Body body;
};

namespace {

[[noreturn]] void throw_error(const jinja::Failure& failure, const std::string& file) {
  std::string context = file;
  if (failure.position) {
    context += ":" + std::to_string(failure.position->line) + ":" + std::to_string(failure.position->column);
  }
  throw Error(failure.code, failure.message, std::move(context));
}

jinja::Position position_of(std::string_view source, std::size_t offset) {
  const std::string_view before = source.substr(0, offset);
  const std::size_t line_begin = before.rfind('\n') + 1;  // 0 where there is none
  return {static_cast<std::uint32_t>(1 + std::count(before.begin(), before.end(), '\n')),
          static_cast<std::uint32_t>(1 + jinja::length(before.substr(line_begin)))};
}

}  // namespace

ChatTemplate::ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

ChatTemplate ChatTemplate::parse(std::string_view source, std::string file) {
  auto impl = std::make_shared<Impl>();
  impl->file = std::move(file);
  try {
    if (const auto offset = jinja::find_invalid_utf8(source)) {
      jinja::fail_at(position_of(source, *offset), ErrorCode::invalid_file,
                     "invalid UTF-8 at byte " + std::to_string(*offset));
    }
    impl->body = jinja::parse_template(source);
  } catch (const jinja::Failure& failure) {
    throw_error(failure, impl->file);
  }
  return ChatTemplate(std::move(impl));
}

std::string ChatTemplate::render(std::string_view variables_json) const {
  try {
    jinja::Runtime runtime;
    const jinja::Dict variables = jinja::parse_variables(runtime, variables_json);
    return jinja::Interpreter(runtime, variables).render(impl_->body);
  } catch (const jinja::Failure& failure) {
    throw_error(failure, impl_->file);
  }
}

}  // namespace octet::text
