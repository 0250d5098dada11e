// The interpreter of chat templates: walks the syntax tree and writes text.
//
// One Interpreter renders once. The tree is only read, so many interpreters may share it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"
#include "text/jinja_value.h"

namespace octet::text::jinja {

class Interpreter {
 public:
  // Both must outlive the interpreter.
  Interpreter(Runtime& runtime, const Dict& variables);

  // Throws Failure with a position.
  std::string render(const ast::Body& body);

 private:
  // The variables of one block. Names belong to the tree. Macros keep the scope that they were made in.
  struct Scope {
    std::shared_ptr<Scope> parent;
    std::vector<std::pair<std::string_view, Value>> variables;
    void set(std::string_view name, Value value);
  };
  class InnerScope;
  class Redirect;
  struct BoundMacro;
  enum class Flow { normal, break_loop, continue_loop };

  Flow run(const ast::Body& body);
  Flow execute(const ast::Statement& statement);
  Flow execute(const ast::Text& text);
  Flow execute(const ast::Output& output);
  Flow execute(const ast::If& branch);
  Flow execute(const ast::For& loop);
  Flow execute(const ast::Set& set);
  Flow execute(const ast::SetBlock& set);
  Flow execute(const ast::MacroDefinition& macro);
  Flow execute(const ast::CallBlock& block);
  Flow execute(const ast::FilterBlock& block);
  Flow execute(const ast::With& with);
  Flow execute(const ast::Generation& generation);
  Flow execute(const ast::Break&) { return Flow::break_loop; }
  Flow execute(const ast::Continue&) { return Flow::continue_loop; }

  Value evaluate(const ast::ExpressionPtr& expression);
  Value value_of(const ast::Literal& literal) { return literal.value; }
  Value value_of(const ast::Name& name);
  Value value_of(const ast::ListDisplay& list);
  Value value_of(const ast::DictDisplay& dict);
  Value value_of(const ast::Unary& unary);
  Value value_of(const ast::Binary& binary);
  Value value_of(const ast::Concatenation& concatenation);
  Value value_of(const ast::Comparison& comparison);
  Value value_of(const ast::Conditional& conditional);
  Value value_of(const ast::Attribute& attribute);
  Value value_of(const ast::Item& item);
  Value value_of(const ast::Slice& slice);
  Value value_of(const ast::Call& call);
  Value value_of(const ast::Filter& filter);
  Value value_of(const ast::Test& test);

  void write(std::string_view text);
  void assign(const ast::Target& target, const Value& value);
  SequencePtr loop_items(const ast::For& loop);
  bool compare(ast::CompareOperator op, const Value& a, const Value& b);
  Arguments arguments_of(const ast::CallArguments& arguments);
  Value filtered(const ast::ExpressionPtr& filter, Value input);
  Value call(const Value& callee, const Arguments& arguments);
  Value call_macro(const BoundMacro& macro, const Arguments& arguments);
  void bind_parameters(const BoundMacro& macro, const Arguments& arguments);

  Runtime& runtime_;
  const Dict& variables_;
  std::shared_ptr<Scope> scope_;
  std::string* out_ = nullptr;
  Value block_text_;  // the input of a filter chain whose first filter has none
};

}  // namespace octet::text::jinja
