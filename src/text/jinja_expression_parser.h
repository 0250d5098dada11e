// ExpressionParser: the expressions inside {{ }} and {% %}, by recursive descent in Jinja's precedence.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_token_stream.h"

namespace octet::text::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  // One expression, conditional (`a if b else c`) included.
  ast::ExpressionPtr parse();
  // One expression, or several with commas as a tuple. Without `conditionals`, `if` ends it.
  ast::ExpressionPtr parse_tuple(bool conditionals = true);
  // name(arguments) | …; the first filter's input is null.
  ast::ExpressionPtr parse_filter_chain();
  // | name(arguments) | … behind `input`.
  ast::ExpressionPtr parse_filters(ast::ExpressionPtr input);

  // Every name that was read since it was last cleared: whether a macro uses varargs, kwargs or caller.
  std::set<std::string>& names_read() { return names_read_; }
  int& nesting() { return nesting_; }

 private:
  using ExpressionPtr = ast::ExpressionPtr;

  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filters = true);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_number();
  ExpressionPtr parse_name();
  ExpressionPtr parse_parentheses();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr object);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr input);
  ExpressionPtr parse_one_filter(ExpressionPtr input);
  ExpressionPtr parse_test(ExpressionPtr input);
  ExpressionPtr parse_call(ExpressionPtr callee);
  ExpressionPtr parse_subscript(ExpressionPtr object);
  ast::CallArguments parse_arguments();
  void parse_argument(ast::CallArguments& arguments);

  TokenStream& tokens_;
  std::set<std::string> names_read_;
  int nesting_ = 0;
};

}  // namespace octet::text::jinja
