// The lexer of chat templates: text and tags to tokens, with Jinja's whitespace control.
//
// trim_blocks and lstrip_blocks are on and one trailing newline is dropped, as in transformers.
// Source: the Jinja 3.1 documentation, "Whitespace Control"; compared with the package in
// tests/text/jinja2_package_test.py.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_runtime.h"

namespace octet::text::jinja {

enum class TokenKind {
  data,            // text between tags, whitespace control applied; never empty
  variable_begin,  // {{
  variable_end,
  block_begin,  // {%
  block_end,
  name,
  string,   // text: the decoded literal
  integer,  // text: digits without underscores, with 0x, 0o or 0b
  floating,
  op,  // text: the operator or bracket
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;
  Position position;
};

// The tokens, the last one of kind `end`. Throws Failure{invalid_file} with a position.
std::vector<Token> tokenize(std::string_view source);

}  // namespace octet::text::jinja
