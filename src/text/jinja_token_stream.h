// TokenStream: the tokens of a template, read forward, with the parser's error messages.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_lexer.h"

namespace octet::text::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Position position() const { return current().position; }
  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_op(std::string_view op) const { return is(TokenKind::op) && current().text == op; }
  bool is_name(std::string_view name) const { return is(TokenKind::name) && current().text == name; }

  // The current token, moving behind it.
  const Token& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool skip_op(std::string_view op) { return is_op(op) && (next(), true); }
  bool skip_name(std::string_view name) { return is_name(name) && (next(), true); }

  void expect_op(std::string_view op) {
    if (!skip_op(op)) fail_expected(quoted(op));
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name)) fail_expected(quoted(name));
  }
  // `what` completes "expected …".
  const Token& expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) fail_expected(std::string(what));
    return next();
  }
  [[noreturn]] void fail_expected(const std::string& what) const {
    fail_at(position(), ErrorCode::invalid_file, "expected " + what + ", found " + describe());
  }
  std::string describe() const {
    switch (current().kind) {
      case TokenKind::data:
        return "text";
      case TokenKind::string:
        return "a string";
      case TokenKind::end:
        return "the end of the template";
      default:
        return quoted(current().text);
    }
  }

 private:
  std::vector<Token> tokens_;  // the last one is of kind end
  std::size_t at_ = 0;
};

// One level of brackets or blocks inside one another. Throws Failure beyond kMaxParserNesting.
class Nesting {
 public:
  Nesting(int& depth, Position position) : depth_(depth) {
    if (depth_ >= kMaxParserNesting) {
      fail_at(position, ErrorCode::unsupported,
              "brackets or blocks are nested more than " + std::to_string(kMaxParserNesting) + " deep");
    }
    ++depth_;
  }
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

}  // namespace octet::text::jinja
