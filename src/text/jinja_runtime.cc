#include "text/jinja_runtime.h"

#include <utility>

#include "text/jinja_value.h"

namespace octet::text::jinja {

std::string quoted(std::string_view text) {
  std::string result(1, '\'');
  result += text;
  result += '\'';
  return result;
}

void fail(std::string message) { throw Failure{ErrorCode::invalid_file, std::move(message), std::nullopt}; }

void refuse(std::string message) {
  throw Failure{ErrorCode::invalid_argument, std::move(message), std::nullopt};
}

void fail_at(Position position, ErrorCode code, std::string message) {
  throw Failure{code, std::move(message), position};
}

Runtime::Runtime() = default;
Runtime::~Runtime() = default;

void Runtime::step(std::int64_t count) {
  steps_ += count;
  if (steps_ > kMaxSteps) refuse("the template takes more than " + std::to_string(kMaxSteps) + " steps");
}

void Runtime::use_bytes(std::size_t count) {
  if (count > kMaxBytes - bytes_) {
    refuse("the template handles more than " + std::to_string(kMaxBytes >> 20) + " MiB of values");
  }
  bytes_ += count;
}

void Runtime::check_text(std::size_t size) const {
  if (size > kMaxText) refuse("a text grows beyond " + std::to_string(kMaxText >> 20) + " MiB");
}

Namespace* Runtime::add_namespace(std::unique_ptr<Namespace> item) {
  use_bytes(sizeof(Namespace));
  namespaces_.push_back(std::move(item));
  return namespaces_.back().get();
}

const Macro* Runtime::add_macro(std::unique_ptr<Macro> macro) {
  use_bytes(256);
  macros_.push_back(std::move(macro));
  return macros_.back().get();
}

Runtime::Level::Level(Runtime& runtime) : runtime_(runtime) {
  // Counted only once it is sure that the destructor will run.
  if (runtime.active_ >= kMaxActiveNodes) {
    fail("the template recurses more than " + std::to_string(kMaxActiveNodes) + " levels deep");
  }
  ++runtime.active_;
}

}  // namespace octet::text::jinja
