#include "text/jinja_expression_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace octet::text::jinja {

using namespace ast;

namespace {

int depth_of(const ExpressionPtr& e) { return e ? e->depth : 0; }

int depth_of(const std::vector<ExpressionPtr>& list) {
  int depth = 0;
  for (const auto& e : list) depth = std::max(depth, depth_of(e));
  return depth;
}

int depth_of(const CallArguments& arguments) {
  int depth = std::max(
      {depth_of(arguments.positional), depth_of(arguments.more_positional), depth_of(arguments.more_keyword)});
  for (const auto& [name, value] : arguments.keyword) depth = std::max(depth, depth_of(value));
  return depth;
}

template <typename Node>
ExpressionPtr make(Position position, Node node, int depth_of_parts) {
  if (depth_of_parts >= kMaxExpressionDepth) {
    fail_at(position, ErrorCode::unsupported,
            "an expression is more than " + std::to_string(kMaxExpressionDepth) + " levels deep");
  }
  return std::make_unique<const Expression>(Expression{position, depth_of_parts + 1, std::move(node)});
}

ExpressionPtr make_binary(Position position, BinaryOperator op, ExpressionPtr left, ExpressionPtr right) {
  const int depth = std::max(depth_of(left), depth_of(right));
  return make(position, Binary{op, std::move(left), std::move(right)}, depth);
}

std::optional<CompareOperator> compare_operator(const Token& token) {
  if (token.kind != TokenKind::op) return std::nullopt;
  if (token.text == "==") return CompareOperator::equal;
  if (token.text == "!=") return CompareOperator::not_equal;
  if (token.text == "<") return CompareOperator::less;
  if (token.text == "<=") return CompareOperator::less_equal;
  if (token.text == ">") return CompareOperator::greater;
  if (token.text == ">=") return CompareOperator::greater_equal;
  return std::nullopt;
}

}  // namespace

ExpressionPtr ExpressionParser::parse() {
  const Nesting nesting(nesting_, tokens_.position());
  ExpressionPtr value = parse_or();
  while (tokens_.is_name("if")) {
    const Position position = tokens_.next().position;
    ExpressionPtr condition = parse_or();
    ExpressionPtr otherwise = tokens_.skip_name("else") ? parse() : nullptr;
    const int depth = std::max({depth_of(value), depth_of(condition), depth_of(otherwise)});
    value = make(position, Conditional{std::move(condition), std::move(value), std::move(otherwise)}, depth);
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_tuple(bool conditionals) {
  const Position position = tokens_.position();
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
  while (true) {
    if (tokens_.is(TokenKind::variable_end) || tokens_.is(TokenKind::block_end) || tokens_.is_op(")")) break;
    items.push_back(conditionals ? parse() : parse_or());
    if (!tokens_.skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (items.empty()) tokens_.fail_expected("an expression");
    return std::move(items[0]);
  }
  const int depth = depth_of(items);
  return make(position, ListDisplay{SequenceKind::tuple, std::move(items)}, depth);
}

ExpressionPtr ExpressionParser::parse_or() {
  ExpressionPtr left = parse_and();
  while (tokens_.is_name("or")) {
    const Position position = tokens_.next().position;
    left = make_binary(position, BinaryOperator::logical_or, std::move(left), parse_and());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_and() {
  ExpressionPtr left = parse_not();
  while (tokens_.is_name("and")) {
    const Position position = tokens_.next().position;
    left = make_binary(position, BinaryOperator::logical_and, std::move(left), parse_not());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  if (!tokens_.is_name("not")) return parse_comparison();
  const Position position = tokens_.next().position;
  const Nesting nesting(nesting_, position);
  ExpressionPtr operand = parse_not();
  const int depth = depth_of(operand);
  return make(position, Unary{UnaryOperator::logical_not, std::move(operand)}, depth);
}

ExpressionPtr ExpressionParser::parse_comparison() {
  ExpressionPtr first = parse_sum();
  const Position position = tokens_.position();
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
  int depth = depth_of(first);
  while (true) {
    std::optional<CompareOperator> op = compare_operator(tokens_.current());
    if (!op && tokens_.is_name("in")) op = CompareOperator::in;
    if (!op && tokens_.is_name("not") && tokens_.ahead().kind == TokenKind::name &&
        tokens_.ahead().text == "in") {
      tokens_.next();
      op = CompareOperator::not_in;
    }
    if (!op) break;
    tokens_.next();
    rest.emplace_back(*op, parse_sum());
    depth = std::max(depth, depth_of(rest.back().second));
  }
  if (rest.empty()) return first;
  return make(position, Comparison{std::move(first), std::move(rest)}, depth);
}

ExpressionPtr ExpressionParser::parse_sum() {
  ExpressionPtr left = parse_concatenation();
  while (tokens_.is_op("+") || tokens_.is_op("-")) {
    const BinaryOperator op = tokens_.is_op("+") ? BinaryOperator::add : BinaryOperator::subtract;
    const Position position = tokens_.next().position;
    left = make_binary(position, op, std::move(left), parse_concatenation());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  ExpressionPtr first = parse_product();
  if (!tokens_.is_op("~")) return first;
  const Position position = tokens_.position();
  std::vector<ExpressionPtr> parts;
  parts.push_back(std::move(first));
  while (tokens_.skip_op("~")) parts.push_back(parse_product());
  const int depth = depth_of(parts);
  return make(position, Concatenation{std::move(parts)}, depth);
}

ExpressionPtr ExpressionParser::parse_product() {
  constexpr std::pair<std::string_view, BinaryOperator> kOperators[] = {{"*", BinaryOperator::multiply},
                                                                        {"/", BinaryOperator::divide},
                                                                        {"//", BinaryOperator::floor_divide},
                                                                        {"%", BinaryOperator::modulo}};
  ExpressionPtr left = parse_power();
  while (true) {
    const auto* op = std::find_if(std::begin(kOperators), std::end(kOperators),
                                  [&](const auto& entry) { return tokens_.is_op(entry.first); });
    if (op == std::end(kOperators)) return left;
    const Position position = tokens_.next().position;
    left = make_binary(position, op->second, std::move(left), parse_power());
  }
}

ExpressionPtr ExpressionParser::parse_power() {
  ExpressionPtr left = parse_unary();
  while (tokens_.is_op("**")) {  // from the left, unlike Python
    const Position position = tokens_.next().position;
    left = make_binary(position, BinaryOperator::power, std::move(left), parse_unary());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filters) {
  ExpressionPtr value;
  if (tokens_.is_op("-") || tokens_.is_op("+")) {
    const UnaryOperator op = tokens_.is_op("-") ? UnaryOperator::minus : UnaryOperator::plus;
    const Position position = tokens_.next().position;
    const Nesting nesting(nesting_, position);
    ExpressionPtr operand = parse_unary(false);
    const int depth = depth_of(operand);
    value = make(position, Unary{op, std::move(operand)}, depth);
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Position position = tokens_.position();
  switch (tokens_.current().kind) {
    case TokenKind::name:
      return parse_name();
    case TokenKind::string: {
      std::string text = tokens_.next().text;
      while (tokens_.is(TokenKind::string)) text += tokens_.next().text;  // 'a' 'b' is 'ab'
      return make(position, Literal{Value(std::move(text))}, 0);
    }
    case TokenKind::integer:
    case TokenKind::floating:
      return parse_number();
    default:
      break;
  }
  const Nesting nesting(nesting_, position);
  if (tokens_.is_op("(")) return parse_parentheses();
  if (tokens_.is_op("[")) return parse_list();
  if (tokens_.is_op("{")) return parse_dict();
  tokens_.fail_expected("an expression");
}

ExpressionPtr ExpressionParser::parse_name() {
  const Token& token = tokens_.next();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return make(token.position, Literal{Value(true)}, 0);
  if (name == "false" || name == "False") return make(token.position, Literal{Value(false)}, 0);
  if (name == "none" || name == "None") return make(token.position, Literal{Value()}, 0);
  names_read_.insert(name);
  return make(token.position, Name{name}, 0);
}

ExpressionPtr ExpressionParser::parse_number() {
  const Token& token = tokens_.next();
  std::string_view digits = token.text;
  if (token.kind == TokenKind::floating) {
    double value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    // from_chars leaves values beyond double's range alone.
    if (result.ec != std::errc()) {
      fail_at(token.position, ErrorCode::unsupported, "the number " + token.text + " is out of range");
    }
    return make(token.position, Literal{Value(value)}, 0);
  }
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && digits[1] >= 'a') {
    base = digits[1] == 'x' ? 16 : digits[1] == 'o' ? 8 : 2;
    digits.remove_prefix(2);
  }
  std::int64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (result.ec != std::errc()) {
    fail_at(token.position, ErrorCode::unsupported, "the number " + token.text + " does not fit in 64 bits");
  }
  return make(token.position, Literal{Value(value)}, 0);
}

ExpressionPtr ExpressionParser::parse_parentheses() {
  const Position position = tokens_.next().position;
  if (tokens_.skip_op(")")) return make(position, ListDisplay{SequenceKind::tuple, {}}, 0);
  ExpressionPtr value = parse_tuple();
  tokens_.expect_op(")");
  return value;
}

ExpressionPtr ExpressionParser::parse_list() {
  const Position position = tokens_.next().position;
  std::vector<ExpressionPtr> items;
  while (!tokens_.is_op("]")) {
    if (!items.empty()) tokens_.expect_op(",");
    if (tokens_.is_op("]")) break;
    items.push_back(parse());
  }
  tokens_.expect_op("]");
  const int depth = depth_of(items);
  return make(position, ListDisplay{SequenceKind::list, std::move(items)}, depth);
}

ExpressionPtr ExpressionParser::parse_dict() {
  const Position position = tokens_.next().position;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> members;
  int depth = 0;
  while (!tokens_.is_op("}")) {
    if (!members.empty()) tokens_.expect_op(",");
    if (tokens_.is_op("}")) break;
    ExpressionPtr key = parse();
    tokens_.expect_op(":");
    ExpressionPtr value = parse();
    depth = std::max({depth, depth_of(key), depth_of(value)});
    members.emplace_back(std::move(key), std::move(value));
  }
  tokens_.expect_op("}");
  return make(position, DictDisplay{std::move(members)}, depth);
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr object) {
  while (true) {
    if (tokens_.is_op(".") || tokens_.is_op("[")) {
      object = parse_subscript(std::move(object));
    } else if (tokens_.is_op("(")) {
      object = parse_call(std::move(object));
    } else {
      return object;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters_and_tests(ExpressionPtr input) {
  while (true) {
    if (tokens_.is_op("|")) {
      input = parse_filters(std::move(input));
    } else if (tokens_.is_name("is")) {
      input = parse_test(std::move(input));
    } else if (tokens_.is_op("(")) {
      input = parse_call(std::move(input));
    } else {
      return input;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filter_chain() { return parse_filters(parse_one_filter(nullptr)); }

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr input) {
  while (tokens_.skip_op("|")) input = parse_one_filter(std::move(input));
  return input;
}

ExpressionPtr ExpressionParser::parse_one_filter(ExpressionPtr input) {
  const Token& token = tokens_.expect(TokenKind::name, "the name of a filter");
  const FilterFunction function = find_filter(token.text);
  if (!function) fail_at(token.position, ErrorCode::unsupported, "unsupported filter '" + token.text + "'");
  CallArguments arguments;
  if (tokens_.is_op("(")) arguments = parse_arguments();
  const int depth = std::max(depth_of(input), depth_of(arguments));
  return make(token.position, Filter{std::move(input), token.text, function, std::move(arguments)}, depth);
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr input) {
  tokens_.expect_name("is");
  const bool negated = tokens_.skip_name("not");
  const Token& token = tokens_.expect(TokenKind::name, "the name of a test");
  const TestFunction function = find_test(token.text);
  if (!function) fail_at(token.position, ErrorCode::unsupported, "unsupported test '" + token.text + "'");
  CallArguments arguments;
  const Token& current = tokens_.current();
  // `x is divisibleby 3`: one argument without brackets, unless a word follows that goes on with the
  // expression.
  const bool is_operand = current.kind == TokenKind::name || current.kind == TokenKind::string ||
                          current.kind == TokenKind::integer || current.kind == TokenKind::floating ||
                          tokens_.is_op("[") || tokens_.is_op("{");
  constexpr std::string_view kGoOn[] = {"else", "or", "and", "if", "in", "not", "recursive"};
  const bool goes_on = current.kind == TokenKind::name &&
                       std::find(std::begin(kGoOn), std::end(kGoOn), current.text) != std::end(kGoOn);
  if (tokens_.is_op("(")) {
    arguments = parse_arguments();
  } else if (is_operand && !goes_on) {
    if (tokens_.is_name("is")) {
      fail_at(tokens_.position(), ErrorCode::invalid_file, "tests cannot be chained with 'is'");
    }
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  const int depth = std::max(depth_of(input), depth_of(arguments));
  return make(token.position, Test{std::move(input), token.text, function, std::move(arguments), negated},
              depth);
}

ExpressionPtr ExpressionParser::parse_call(ExpressionPtr callee) {
  const Position position = callee->position;
  CallArguments arguments = parse_arguments();
  const int depth = std::max(depth_of(callee), depth_of(arguments));
  return make(position, Call{std::move(callee), std::move(arguments)}, depth);
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr object) {
  const int object_depth = depth_of(object);
  if (tokens_.skip_op(".")) {
    const Token& token = tokens_.current();
    if (token.kind == TokenKind::name) {
      tokens_.next();
      return make(token.position, Attribute{std::move(object), token.text}, object_depth);
    }
    if (token.kind != TokenKind::integer) tokens_.fail_expected("a name or a number behind '.'");
    return make(token.position, Item{std::move(object), parse_number()}, object_depth + 1);
  }
  const Position position = tokens_.next().position;  // [
  const Nesting nesting(nesting_, position);
  ExpressionPtr start = tokens_.is_op(":") ? nullptr : parse();
  if (tokens_.is_op(",")) {  // a tuple as the index
    std::vector<ExpressionPtr> items;
    items.push_back(std::move(start));
    while (tokens_.skip_op(",") && !tokens_.is_op("]")) items.push_back(parse());
    if (!items[0]) tokens_.fail_expected("an index");
    const int depth = depth_of(items);
    start = make(position, ListDisplay{SequenceKind::tuple, std::move(items)}, depth);
    if (!tokens_.is_op("]")) tokens_.fail_expected("']'");
  }
  if (tokens_.is_op("]")) {
    if (!start) tokens_.fail_expected("an index");
    tokens_.next();
    const int depth = std::max(object_depth, depth_of(start));
    return make(position, Item{std::move(object), std::move(start)}, depth);
  }
  tokens_.expect_op(":");
  ExpressionPtr stop = tokens_.is_op(":") || tokens_.is_op("]") ? nullptr : parse();
  ExpressionPtr step = tokens_.skip_op(":") && !tokens_.is_op("]") ? parse() : nullptr;
  tokens_.expect_op("]");
  const int depth = std::max({object_depth, depth_of(start), depth_of(stop), depth_of(step)});
  return make(position, Slice{std::move(object), std::move(start), std::move(stop), std::move(step)}, depth);
}

CallArguments ExpressionParser::parse_arguments() {
  const Nesting nesting(nesting_, tokens_.position());
  tokens_.expect_op("(");
  CallArguments arguments;
  bool first = true;
  while (!tokens_.is_op(")")) {
    if (!first) tokens_.expect_op(",");
    if (tokens_.is_op(")")) break;
    parse_argument(arguments);
    first = false;
  }
  tokens_.expect_op(")");
  return arguments;
}

void ExpressionParser::parse_argument(CallArguments& arguments) {
  const Position position = tokens_.position();
  bool in_order = !arguments.more_keyword;
  if (tokens_.skip_op("*")) {
    in_order = in_order && !arguments.more_positional;
    arguments.more_positional = parse();
  } else if (tokens_.skip_op("**")) {
    arguments.more_keyword = parse();
  } else if (tokens_.is(TokenKind::name) && tokens_.ahead().kind == TokenKind::op &&
             tokens_.ahead().text == "=") {
    std::string name = tokens_.next().text;
    tokens_.next();
    arguments.keyword.emplace_back(std::move(name), parse());
  } else {
    in_order = in_order && !arguments.more_positional && arguments.keyword.empty();
    arguments.positional.push_back(parse());
  }
  if (!in_order) fail_at(position, ErrorCode::invalid_file, "an argument is out of order");
}

}  // namespace octet::text::jinja
