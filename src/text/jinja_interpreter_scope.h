// What the interpreter opens and closes around a block: a scope of variables, a place for the text.
// Private to the interpreter's files.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "text/jinja_interpreter.h"

namespace octet::text::jinja {

// A new scope until the end of the block.
class Interpreter::InnerScope {
 public:
  explicit InnerScope(Interpreter& interpreter) : InnerScope(interpreter, interpreter.scope_) {}
  InnerScope(Interpreter& interpreter, std::shared_ptr<Scope> parent)
      : interpreter_(interpreter), outer_(std::move(interpreter.scope_)) {
    interpreter_.scope_ = std::make_shared<Scope>(Scope{std::move(parent), {}});
  }
  ~InnerScope() { interpreter_.scope_ = std::move(outer_); }
  InnerScope(const InnerScope&) = delete;
  InnerScope& operator=(const InnerScope&) = delete;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outer_;
};

// What is written goes to `text` until the end of the block.
class Interpreter::Redirect {
 public:
  Redirect(Interpreter& interpreter, std::string& text)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.out_, &text)) {}
  ~Redirect() { interpreter_.out_ = outer_; }
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;

 private:
  Interpreter& interpreter_;
  std::string* outer_;
};

// A macro with the scope in which it was defined, whose variables it sees.
struct Interpreter::BoundMacro : Macro {
  BoundMacro(const ast::Signature& macro_signature, std::shared_ptr<Scope> macro_scope)
      : signature(macro_signature), scope(std::move(macro_scope)) {
    name = signature.name;
  }
  const ast::Signature& signature;
  std::shared_ptr<Scope> scope;
};

}  // namespace octet::text::jinja
