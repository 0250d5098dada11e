#include "text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "text/jinja_expression_parser.h"
#include "text/jinja_lexer.h"
#include "text/jinja_token_stream.h"

namespace octet::text::jinja {
namespace {

using namespace ast;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {}

  Body parse() { return parse_until({}, {}, ""); }

 private:
  using EndTags = std::initializer_list<std::string_view>;

  // Statements up to {% one of end_tags; the stream then stands on that name. `opened_by` is for errors.
  Body parse_until(EndTags end_tags, Position opened_at, const std::string& opened_by);
  // The rest of a tag, then a body and its end tag.
  Body parse_body(const char* end_tag, Position opened_at, const std::string& opened_by);
  void end_tag() { tokens_.expect(TokenKind::block_end, "'%}'"); }
  Statement parse_statement();
  [[noreturn]] void fail_unknown_tag(const Token& token, EndTags end_tags, Position opened_at,
                                     const std::string& opened_by) const;

  If parse_if(Position position);
  For parse_for(Position position);
  std::variant<Set, SetBlock> parse_set(Position position);
  MacroDefinition parse_macro(Position position);
  CallBlock parse_call_block(Position position);
  FilterBlock parse_filter_block(Position position);
  With parse_with(Position position);
  void parse_parameters(Signature& signature);
  void parse_macro_body(Signature& signature, const char* end_tag, Position position, const std::string& tag);
  Target parse_target(bool with_namespace);
  Target parse_one_target(bool with_namespace);
  std::string parse_name(std::string_view what);

  TokenStream tokens_;
  ExpressionParser expressions_;
  int loops_ = 0;  // open for statements in the macro being parsed: break and continue need one
};

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const std::string_view candidate : names) {
    if (candidate == name) return true;
  }
  return false;
}

bool assigns(const Target& target, std::string_view name) {
  if (const auto* own = std::get_if<std::string>(&target.node)) return *own == name;
  const auto* parts = std::get_if<std::vector<Target>>(&target.node);
  return parts && std::any_of(parts->begin(), parts->end(), [&](const Target& t) { return assigns(t, name); });
}

void Parser::fail_unknown_tag(const Token& token, EndTags end_tags, Position opened_at,
                              const std::string& opened_by) const {
  std::string message = "unexpected tag '" + token.text + "'";
  ErrorCode code = ErrorCode::invalid_file;
  if (is_one_of(token.text, {"include", "import", "from", "extends", "block", "autoescape", "do", "trans",
                             "debug", "print"})) {
    message = "the tag '" + token.text + "' is not supported in chat templates";
    code = ErrorCode::unsupported;
  } else if (end_tags.size() != 0) {
    message += ": '" + opened_by + "' of line " + std::to_string(opened_at.line) + " wants";
    for (const std::string_view tag : end_tags) message += " '" + std::string(tag) + "'";
  }
  fail_at(token.position, code, std::move(message));
}

Body Parser::parse_until(EndTags end_tags, Position opened_at, const std::string& opened_by) {
  const Nesting nesting(expressions_.nesting(), tokens_.position());
  Body body;
  while (true) {
    const Position position = tokens_.position();
    if (tokens_.is(TokenKind::end)) {
      if (end_tags.size() == 0) return body;
      fail_at(opened_at, ErrorCode::invalid_file, "'" + opened_by + "' is never closed");
    }
    if (tokens_.is(TokenKind::data)) {
      body.push_back({position, Text{tokens_.next().text}});
    } else if (tokens_.is(TokenKind::variable_begin)) {
      tokens_.next();
      body.push_back({position, Output{expressions_.parse_tuple()}});
      tokens_.expect(TokenKind::variable_end, "'}}'");
    } else {
      tokens_.expect(TokenKind::block_begin, "'{%'");
      if (!tokens_.is(TokenKind::name)) tokens_.fail_expected("the name of a tag");
      if (is_one_of(tokens_.current().text, end_tags)) return body;
      if (!is_one_of(tokens_.current().text, {"if", "for", "set", "macro", "call", "filter", "with",
                                              "generation", "break", "continue"})) {
        fail_unknown_tag(tokens_.current(), end_tags, opened_at, opened_by);
      }
      body.push_back(parse_statement());
      end_tag();
    }
  }
}

Body Parser::parse_body(const char* end, Position opened_at, const std::string& opened_by) {
  end_tag();
  Body body = parse_until({end}, opened_at, opened_by);
  tokens_.next();
  return body;
}

Statement Parser::parse_statement() {
  const Token token = tokens_.next();
  const Position position = token.position;
  if (token.text == "if") return {position, parse_if(position)};
  if (token.text == "for") return {position, parse_for(position)};
  if (token.text == "macro") return {position, parse_macro(position)};
  if (token.text == "call") return {position, parse_call_block(position)};
  if (token.text == "filter") return {position, parse_filter_block(position)};
  if (token.text == "with") return {position, parse_with(position)};
  if (token.text == "generation")
    return {position, Generation{parse_body("endgeneration", position, "generation")}};
  if (token.text == "set") {
    std::variant<Set, SetBlock> set = parse_set(position);
    if (Set* simple = std::get_if<Set>(&set)) return {position, std::move(*simple)};
    return {position, std::move(std::get<SetBlock>(set))};
  }
  if (loops_ == 0) fail_at(position, ErrorCode::invalid_file, "'" + token.text + "' outside of a loop");
  if (token.text == "break") return {position, Break{}};
  return {position, Continue{}};
}

If Parser::parse_if(Position position) {
  If statement;
  while (true) {
    ExpressionPtr condition = expressions_.parse_tuple(false);
    end_tag();
    Body body = parse_until({"elif", "else", "endif"}, position, "if");
    statement.branches.emplace_back(std::move(condition), std::move(body));
    if (tokens_.skip_name("elif")) continue;
    if (tokens_.skip_name("else")) {
      statement.otherwise = parse_body("endif", position, "if");
    } else {
      tokens_.next();
    }
    return statement;
  }
}

For Parser::parse_for(Position position) {
  const Position target_position = tokens_.position();
  Target target = parse_target(false);
  if (assigns(target, "loop")) {
    fail_at(target_position, ErrorCode::invalid_file, "cannot assign to 'loop' in a loop");
  }
  tokens_.expect_name("in");
  ExpressionPtr iterable = expressions_.parse_tuple(false);
  ExpressionPtr condition = tokens_.skip_name("if") ? expressions_.parse() : nullptr;
  if (tokens_.is_name("recursive")) {
    fail_at(tokens_.position(), ErrorCode::unsupported, "recursive loops are not supported");
  }
  end_tag();
  ++loops_;
  Body body = parse_until({"else", "endfor"}, position, "for");
  --loops_;
  Body otherwise;
  if (tokens_.skip_name("else")) {
    otherwise = parse_body("endfor", position, "for");
  } else {
    tokens_.next();
  }
  return {std::move(target), std::move(iterable), std::move(condition), std::move(body), std::move(otherwise)};
}

std::variant<Set, SetBlock> Parser::parse_set(Position position) {
  Target target = parse_target(true);
  if (tokens_.skip_op("=")) return Set{std::move(target), expressions_.parse_tuple()};
  ExpressionPtr filter = tokens_.skip_op("|") ? expressions_.parse_filter_chain() : nullptr;
  return SetBlock{std::move(target), std::move(filter), parse_body("endset", position, "set")};
}

void Parser::parse_parameters(Signature& signature) {
  tokens_.expect_op("(");
  while (!tokens_.is_op(")")) {
    if (!signature.parameters.empty()) tokens_.expect_op(",");
    const Position position = tokens_.position();
    std::string name = parse_name("a parameter");
    for (const std::string& other : signature.parameters) {
      if (other == name)
        fail_at(position, ErrorCode::invalid_file, "the parameter '" + name + "' is there twice");
    }
    signature.parameters.push_back(std::move(name));
    if (tokens_.skip_op("=")) {
      signature.defaults.push_back(expressions_.parse());
    } else if (!signature.defaults.empty()) {
      fail_at(position, ErrorCode::invalid_file, "a parameter without a default follows one with a default");
    }
  }
  tokens_.expect_op(")");
}

// Jinja gives varargs, kwargs and caller only to a macro that speaks of them; others refuse surplus arguments.
void Parser::parse_macro_body(Signature& signature, const char* end, Position position,
                              const std::string& tag) {
  std::set<std::string> outer_names;
  std::swap(outer_names, expressions_.names_read());
  const int outer_loops = std::exchange(loops_, 0);
  signature.body = parse_body(end, position, tag);
  loops_ = outer_loops;
  const std::set<std::string>& names = expressions_.names_read();
  signature.takes_varargs = names.count("varargs") != 0;
  signature.takes_kwargs = names.count("kwargs") != 0;
  signature.takes_caller = names.count("caller") != 0;
  expressions_.names_read().merge(outer_names);
}

MacroDefinition Parser::parse_macro(Position position) {
  MacroDefinition macro;
  macro.signature.name = parse_name("the name of the macro");
  parse_parameters(macro.signature);
  parse_macro_body(macro.signature, "endmacro", position, "macro");
  return macro;
}

CallBlock Parser::parse_call_block(Position position) {
  CallBlock block;
  block.caller.name = "caller";
  if (tokens_.is_op("(")) parse_parameters(block.caller);
  const Position call_position = tokens_.position();
  block.call = expressions_.parse();
  if (!std::holds_alternative<Call>(block.call->node)) {
    fail_at(call_position, ErrorCode::invalid_file, "expected a call of a macro");
  }
  parse_macro_body(block.caller, "endcall", position, "call");
  return block;
}

FilterBlock Parser::parse_filter_block(Position position) {
  ExpressionPtr filter = expressions_.parse_filter_chain();
  return {std::move(filter), parse_body("endfilter", position, "filter")};
}

With Parser::parse_with(Position position) {
  With with;
  while (!tokens_.is(TokenKind::block_end)) {
    if (!with.assignments.empty()) tokens_.expect_op(",");
    Target target = parse_one_target(false);
    tokens_.expect_op("=");
    with.assignments.emplace_back(std::move(target), expressions_.parse());
  }
  with.body = parse_body("endwith", position, "with");
  return with;
}

std::string Parser::parse_name(std::string_view what) {
  const Token& token = tokens_.expect(TokenKind::name, what);
  if (is_one_of(token.text, {"true", "false", "none", "True", "False", "None"})) {
    fail_at(token.position, ErrorCode::invalid_file, "cannot assign to '" + token.text + "'");
  }
  return token.text;
}

Target Parser::parse_one_target(bool with_namespace) {
  const Position position = tokens_.position();
  if (tokens_.skip_op("(")) {
    const Nesting nesting(expressions_.nesting(), position);
    Target target = parse_target(with_namespace);
    tokens_.expect_op(")");
    return target;
  }
  std::string name = parse_name("a name to assign to");
  if (!with_namespace || !tokens_.skip_op(".")) return {position, std::move(name)};
  return {position, Target::NamespaceAttribute{std::move(name), parse_name("an attribute")}};
}

Target Parser::parse_target(bool with_namespace) {
  const Position position = tokens_.position();
  std::vector<Target> targets;
  targets.push_back(parse_one_target(with_namespace));
  bool is_tuple = false;
  while (tokens_.skip_op(",")) {
    is_tuple = true;
    if (!tokens_.is(TokenKind::name) && !tokens_.is_op("(")) break;
    if (tokens_.is_name("in")) break;
    targets.push_back(parse_one_target(with_namespace));
  }
  if (!is_tuple) return std::move(targets[0]);
  return {position, std::move(targets)};
}

}  // namespace

ast::Body parse_template(std::string_view source) { return Parser(source).parse(); }

}  // namespace octet::text::jinja
