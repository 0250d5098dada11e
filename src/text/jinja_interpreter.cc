#include "text/jinja_interpreter.h"

#include <algorithm>

#include "text/jinja_access.h"
#include "text/jinja_functions.h"
#include "text/jinja_interpreter_scope.h"
#include "text/jinja_operators.h"
#include "text/jinja_print.h"

namespace octet::text::jinja {

Interpreter::Interpreter(Runtime& runtime, const Dict& variables)
    : runtime_(runtime), variables_(variables), scope_(std::make_shared<Scope>()) {}

std::string Interpreter::render(const ast::Body& body) {
  std::string out;
  out_ = &out;
  run(body);
  return out;
}

void Interpreter::Scope::set(std::string_view name, Value value) {
  for (auto& [known, old] : variables) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

void Interpreter::write(std::string_view text) {
  runtime_.check_text(out_->size() + text.size());
  runtime_.use_bytes(text.size());
  *out_ += text;
}

Interpreter::Flow Interpreter::run(const ast::Body& body) {
  for (const ast::Statement& statement : body) {
    const Flow flow = execute(statement);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::Statement& statement) {
  try {
    const Runtime::Level level(runtime_);
    runtime_.step();
    return std::visit([this](const auto& node) { return execute(node); }, statement.node);
  } catch (Failure& failure) {
    if (!failure.position) failure.position = statement.position;
    throw;
  }
}

Interpreter::Flow Interpreter::execute(const ast::Text& text) {
  write(text.text);
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::Output& output) {
  const Value value = evaluate(output.value);
  if (const std::string* text = value.text()) {
    write(*text);
  } else {
    write(to_text(runtime_, value));
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::If& branch) {
  for (const auto& [condition, body] : branch.branches) {
    if (is_true(evaluate(condition))) return run(body);
  }
  return run(branch.otherwise);
}

// With a condition, the loop is over the items that meet it: loop.index and loop.length count those.
SequencePtr Interpreter::loop_items(const ast::For& loop) {
  SequencePtr all = iterate(runtime_, evaluate(loop.iterable));
  if (!loop.condition) return all;
  std::vector<Value> chosen;
  for (const Value& item : all->items) {
    const InnerScope scope(*this);
    assign(loop.target, item);
    if (is_true(evaluate(loop.condition))) chosen.push_back(item);
  }
  return *make_sequence(runtime_, SequenceKind::list, std::move(chosen)).get<SequencePtr>();
}

Interpreter::Flow Interpreter::execute(const ast::For& loop) {
  const SequencePtr items = loop_items(loop);
  if (items->items.empty()) {
    const InnerScope scope(*this);
    return run(loop.otherwise);
  }
  const auto state = std::make_shared<Loop>(Loop{items, 0});
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    const InnerScope scope(*this);
    state->index = i;
    scope_->set("loop", Value(LoopPtr(state)));
    assign(loop.target, items->items[i]);
    runtime_.step();
    if (run(loop.body) == Flow::break_loop) break;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::Set& set) {
  assign(set.target, evaluate(set.value));
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::SetBlock& set) {
  std::string text;
  {
    const InnerScope scope(*this);
    const Redirect redirect(*this, text);
    const Flow flow = run(set.body);
    if (flow != Flow::normal) return flow;
  }
  Value value(std::move(text));
  assign(set.target, set.filter ? filtered(set.filter, std::move(value)) : value);
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::FilterBlock& block) {
  std::string text;
  {
    const InnerScope scope(*this);
    const Redirect redirect(*this, text);
    const Flow flow = run(block.body);
    if (flow != Flow::normal) return flow;
  }
  write(to_text(runtime_, filtered(block.filter, Value(std::move(text)))));
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::With& with) {
  std::vector<Value> values;  // in the outer scope
  for (const auto& [target, value] : with.assignments) values.push_back(evaluate(value));
  const InnerScope scope(*this);
  for (std::size_t i = 0; i < values.size(); ++i) assign(with.assignments[i].first, values[i]);
  return run(with.body);
}

Interpreter::Flow Interpreter::execute(const ast::Generation& generation) {
  const InnerScope scope(*this);
  return run(generation.body);
}

Interpreter::Flow Interpreter::execute(const ast::MacroDefinition& macro) {
  auto bound = std::make_unique<BoundMacro>(macro.signature, scope_);
  scope_->set(macro.signature.name, Value(runtime_.add_macro(std::move(bound))));
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const ast::CallBlock& block) {
  const auto& node = std::get<ast::Call>(block.call->node);
  const Value callee = evaluate(node.callee);
  Arguments arguments = arguments_of(node.arguments);
  auto caller = std::make_unique<BoundMacro>(block.caller, scope_);
  arguments.keyword.emplace_back("caller", Value(runtime_.add_macro(std::move(caller))));
  write(to_text(runtime_, call(callee, arguments)));
  return Flow::normal;
}

void Interpreter::assign(const ast::Target& target, const Value& value) {
  if (const auto* name = std::get_if<std::string>(&target.node)) {
    scope_->set(*name, value);
  } else if (const auto* attribute = std::get_if<ast::Target::NamespaceAttribute>(&target.node)) {
    const Value object = value_of(ast::Name{attribute->object});
    const auto* space = object.get<Namespace*>();
    if (!space) {
      require_defined(object);
      fail("cannot assign attribute on non-namespace object '" + attribute->object + "'");
    }
    runtime_.use_bytes(sizeof(Value));
    (*space)->attributes.set(Value(attribute->name), value);
  } else {
    const auto& parts = std::get<std::vector<ast::Target>>(target.node);
    const SequencePtr items = iterate(runtime_, value);
    if (items->items.size() != parts.size()) {
      fail("cannot unpack " + std::to_string(items->items.size()) + " values into " +
           std::to_string(parts.size()) + " names");
    }
    for (std::size_t i = 0; i < parts.size(); ++i) assign(parts[i], items->items[i]);
  }
}

Value Interpreter::filtered(const ast::ExpressionPtr& filter, Value input) {
  std::swap(block_text_, input);
  Value result = evaluate(filter);
  std::swap(block_text_, input);
  return result;
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  require_defined(callee);
  if (const auto* function = callee.get<CallablePtr>()) {
    return (*function)->function(runtime_, (*function)->self, arguments);
  }
  if (const auto* macro = callee.get<const Macro*>()) {
    return call_macro(static_cast<const BoundMacro&>(**macro), arguments);
  }
  fail(quoted(type_name(callee)) + " object is not callable");
}

Value Interpreter::call_macro(const BoundMacro& macro, const Arguments& arguments) {
  std::string text;
  const InnerScope scope(*this, macro.scope);
  const Redirect redirect(*this, text);
  bind_parameters(macro, arguments);
  run(macro.signature.body);
  return Value(std::move(text));
}

// Into the current scope, which is the macro's own.
void Interpreter::bind_parameters(const BoundMacro& macro, const Arguments& arguments) {
  const ast::Signature& signature = macro.signature;
  const auto& names = signature.parameters;
  const std::string described = "macro " + quoted(signature.name);
  std::vector<std::pair<std::string, Value>> keyword = arguments.keyword;
  const auto take = [&](std::string_view name) -> std::optional<Value> {
    const auto it =
        std::find_if(keyword.begin(), keyword.end(), [&](const auto& k) { return k.first == name; });
    if (it == keyword.end()) return std::nullopt;
    Value value = std::move(it->second);
    keyword.erase(it);
    return value;
  };
  const std::size_t given = arguments.positional.size();
  const std::size_t first_default = names.size() - signature.defaults.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::optional<Value> value = i < given ? std::optional<Value>(arguments.positional[i]) : take(names[i]);
    if (!value && i >= first_default) value = evaluate(signature.defaults[i - first_default]);
    scope_->set(names[i], value ? *value : undefined("parameter '" + names[i] + "' was not provided"));
  }
  if (signature.takes_caller && std::find(names.begin(), names.end(), "caller") == names.end()) {
    scope_->set("caller", take("caller").value_or(undefined("No caller defined")));
  }
  if (signature.takes_kwargs) {
    Dict rest;
    for (auto& [name, value] : keyword) rest.set(Value(name), value);
    scope_->set("kwargs", make_dict(runtime_, std::move(rest)));
  } else if (!keyword.empty()) {
    fail(described + " takes no keyword argument '" + keyword[0].first + "'");
  }
  if (signature.takes_varargs) {
    const std::size_t begin = std::min(given, names.size());
    std::vector<Value> rest(arguments.positional.begin() + static_cast<std::ptrdiff_t>(begin),
                            arguments.positional.end());
    scope_->set("varargs", make_sequence(runtime_, SequenceKind::tuple, std::move(rest)));
  } else if (given > names.size()) {
    fail(described + " takes not more than " + std::to_string(names.size()) + " argument(s)");
  }
}

}  // namespace octet::text::jinja
