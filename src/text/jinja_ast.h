// The syntax tree of a chat template. Built once by the parser, then read only, so threads share it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_filters.h"
#include "text/jinja_runtime.h"
#include "text/jinja_tests.h"
#include "text/jinja_value.h"

namespace octet::text::jinja::ast {

struct Expression;
struct Statement;
using ExpressionPtr = std::unique_ptr<const Expression>;
using Body = std::vector<Statement>;

// ---- Expressions

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keyword;
  ExpressionPtr more_positional;  // *list, null where absent
  ExpressionPtr more_keyword;     // **dict, null where absent
};

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct ListDisplay {
  SequenceKind kind;  // list or tuple
  std::vector<ExpressionPtr> items;
};
struct DictDisplay {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> members;
};
enum class UnaryOperator { plus, minus, logical_not };
struct Unary {
  UnaryOperator op;
  ExpressionPtr operand;
};
enum class BinaryOperator {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  logical_and,
  logical_or
};
struct Binary {
  BinaryOperator op;
  ExpressionPtr left;
  ExpressionPtr right;
};
struct Concatenation {  // a ~ b ~ c
  std::vector<ExpressionPtr> parts;
};
enum class CompareOperator { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };
struct Comparison {  // a < b < c
  ExpressionPtr first;
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
};
struct Conditional {
  ExpressionPtr condition;
  ExpressionPtr then;
  ExpressionPtr otherwise;  // null where absent: undefined
};
struct Attribute {  // object.name
  ExpressionPtr object;
  std::string name;
};
struct Item {  // object[index]
  ExpressionPtr object;
  ExpressionPtr index;
};
struct Slice {  // object[start:stop:step], each null where absent
  ExpressionPtr object;
  ExpressionPtr start;
  ExpressionPtr stop;
  ExpressionPtr step;
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExpressionPtr input;  // null: the text of the surrounding filter or set block
  std::string name;
  FilterFunction function;
  CallArguments arguments;
};
struct Test {
  ExpressionPtr input;
  std::string name;
  TestFunction function;
  CallArguments arguments;
  bool negated;
};

struct Expression {
  Position position;
  int depth;  // 1 + the deepest part
  std::variant<Literal, Name, ListDisplay, DictDisplay, Unary, Binary, Concatenation, Comparison, Conditional,
               Attribute, Item, Slice, Call, Filter, Test>
      node;
};

// ---- Statements

// What set, for and with assign to.
struct Target {
  struct NamespaceAttribute {
    std::string object;
    std::string name;
  };
  Position position;
  std::variant<std::string, NamespaceAttribute, std::vector<Target>> node;
};

struct Text {
  std::string text;
};
struct Output {  // {{ value }}
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr condition;  // null where absent
  Body body;
  Body otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  ExpressionPtr filter;  // null where absent
  Body body;
};
// The parameters and body of a macro or a call block.
struct Signature {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExpressionPtr> defaults;  // of the last parameters
  Body body;
  bool takes_varargs = false;  // the body speaks of varargs, kwargs or caller
  bool takes_kwargs = false;
  bool takes_caller = false;
};
struct MacroDefinition {
  Signature signature;
};
struct CallBlock {
  Signature caller;
  ExpressionPtr call;
};
struct FilterBlock {
  ExpressionPtr filter;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Body body;
};
struct Generation {  // transformers' marker around what the assistant says: renders its body
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  Position position;
  std::variant<Text, Output, If, For, Set, SetBlock, MacroDefinition, CallBlock, FilterBlock, With, Generation,
               Break, Continue>
      node;
};

}  // namespace octet::text::jinja::ast
