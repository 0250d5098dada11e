// The interpreter's expressions.
#include <algorithm>
#include <string>
#include <vector>

#include "text/jinja_access.h"
#include "text/jinja_functions.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"

namespace octet::text::jinja {

// A null expression is none: an absent bound of a slice, an absent half of a condition.
Value Interpreter::evaluate(const ast::ExpressionPtr& expression) {
  if (!expression) return Value();
  try {
    const Runtime::Level level(runtime_);
    runtime_.step();
    return std::visit([this](const auto& node) { return value_of(node); }, expression->node);
  } catch (Failure& failure) {
    if (!failure.position) failure.position = expression->position;
    throw;
  }
}

Value Interpreter::value_of(const ast::Name& name) {
  for (const Scope* scope = scope_.get(); scope; scope = scope->parent.get()) {
    for (const auto& [known, value] : scope->variables) {
      if (known == name.name) return value;
    }
  }
  if (const Value* value = variables_.find(name.name)) return *value;
  if (auto function = find_function(name.name)) return *function;
  return undefined(quoted(name.name) + " is undefined");
}

Value Interpreter::value_of(const ast::ListDisplay& list) {
  std::vector<Value> items;
  items.reserve(list.items.size());
  for (const auto& item : list.items) items.push_back(evaluate(item));
  return make_sequence(runtime_, list.kind, std::move(items));
}

Value Interpreter::value_of(const ast::DictDisplay& display) {
  Dict dict;
  for (const auto& [key, value] : display.members) {
    Value name = evaluate(key);
    dict.set(std::move(name), evaluate(value));
  }
  return make_dict(runtime_, std::move(dict));
}

Value Interpreter::value_of(const ast::Unary& unary) {
  const Value operand = evaluate(unary.operand);
  switch (unary.op) {
    case ast::UnaryOperator::plus:
      return plus(operand);
    case ast::UnaryOperator::minus:
      return negate(operand);
    case ast::UnaryOperator::logical_not:
      return Value(!is_true(operand));
  }
  fail("unknown operator");
}

Value Interpreter::value_of(const ast::Binary& binary) {
  using Operator = ast::BinaryOperator;
  Value left = evaluate(binary.left);
  if (binary.op == Operator::logical_and) return is_true(left) ? evaluate(binary.right) : left;
  if (binary.op == Operator::logical_or) return is_true(left) ? left : evaluate(binary.right);
  const Value right = evaluate(binary.right);
  switch (binary.op) {
    case Operator::add:
      return add(runtime_, left, right);
    case Operator::subtract:
      return subtract(left, right);
    case Operator::multiply:
      return multiply(runtime_, left, right);
    case Operator::divide:
      return divide(left, right);
    case Operator::floor_divide:
      return floor_divide(left, right);
    case Operator::modulo:
      return modulo(runtime_, left, right);
    case Operator::power:
      return power(left, right);
    case Operator::logical_and:
    case Operator::logical_or:
      break;
  }
  fail("unknown operator");
}

Value Interpreter::value_of(const ast::Concatenation& concatenation) {
  std::string text;
  for (const auto& part : concatenation.parts) {
    text += to_text(runtime_, evaluate(part));
    runtime_.check_text(text.size());
  }
  return Value(std::move(text));
}

bool Interpreter::compare(ast::CompareOperator op, const Value& a, const Value& b) {
  using Operator = ast::CompareOperator;
  switch (op) {
    case Operator::equal:
      return equal(runtime_, a, b);
    case Operator::not_equal:
      return !equal(runtime_, a, b);
    case Operator::less:
      return less(runtime_, a, b);
    case Operator::less_equal:
      return less_equal(runtime_, a, b);
    case Operator::greater:
      return less(runtime_, b, a);
    case Operator::greater_equal:
      return less_equal(runtime_, b, a);
    case Operator::in:
      return contains(runtime_, b, a);
    case Operator::not_in:
      return !contains(runtime_, b, a);
  }
  fail("unknown operator");
}

// a < b < c is a < b and b < c, with b evaluated once.
Value Interpreter::value_of(const ast::Comparison& comparison) {
  Value left = evaluate(comparison.first);
  for (const auto& [op, operand] : comparison.rest) {
    Value right = evaluate(operand);
    if (!compare(op, left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::value_of(const ast::Conditional& conditional) {
  if (is_true(evaluate(conditional.condition))) return evaluate(conditional.then);
  if (conditional.otherwise) return evaluate(conditional.otherwise);
  return undefined("the condition of an 'if' without 'else' is false");
}

Value Interpreter::value_of(const ast::Attribute& attribute) {
  return get_attribute(runtime_, evaluate(attribute.object), attribute.name);
}

Value Interpreter::value_of(const ast::Item& item) {
  const Value object = evaluate(item.object);
  return get_item(runtime_, object, evaluate(item.index));
}

Value Interpreter::value_of(const ast::Slice& slice) {
  const Value object = evaluate(slice.object);
  const Value start = evaluate(slice.start);
  const Value stop = evaluate(slice.stop);
  return get_slice(runtime_, object, start, stop, evaluate(slice.step));
}

Arguments Interpreter::arguments_of(const ast::CallArguments& arguments) {
  Arguments result;
  for (const auto& value : arguments.positional) result.positional.push_back(evaluate(value));
  for (const auto& [name, value] : arguments.keyword) {
    const bool doubled = std::any_of(result.keyword.begin(), result.keyword.end(),
                                     [&name = name](const auto& known) { return known.first == name; });
    if (doubled) fail("keyword argument repeated: " + name);
    result.keyword.emplace_back(name, evaluate(value));
  }
  if (arguments.more_positional) {
    const SequencePtr more = iterate(runtime_, evaluate(arguments.more_positional));
    runtime_.use_bytes(more->items.size() * sizeof(Value));
    result.positional.insert(result.positional.end(), more->items.begin(), more->items.end());
  }
  if (arguments.more_keyword) {
    const Value more = evaluate(arguments.more_keyword);
    if (!more.dict()) fail("the argument after ** must be a mapping, not " + quoted(type_name(more)));
    for (const auto& [name, value] : more.dict()->entries()) {
      if (!name.text()) fail("keywords must be strings");
      const bool doubled =
          std::any_of(result.keyword.begin(), result.keyword.end(),
                      [&name = name](const auto& known) { return known.first == *name.text(); });
      if (doubled) fail("got multiple values for keyword argument '" + *name.text() + "'");
      result.keyword.emplace_back(*name.text(), value);
    }
  }
  return result;
}

Value Interpreter::value_of(const ast::Call& node) {
  const Value callee = evaluate(node.callee);
  return call(callee, arguments_of(node.arguments));
}

Value Interpreter::value_of(const ast::Filter& filter) {
  const Value input = filter.input ? evaluate(filter.input) : block_text_;
  return filter.function(runtime_, input, arguments_of(filter.arguments));
}

Value Interpreter::value_of(const ast::Test& test) {
  const Value input = evaluate(test.input);
  return Value(test.function(runtime_, input, arguments_of(test.arguments)) != test.negated);
}

}  // namespace octet::text::jinja
