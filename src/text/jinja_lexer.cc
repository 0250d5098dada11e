#include "text/jinja_lexer.h"

#include <array>
#include <optional>
#include <utility>

#include "text/jinja_text.h"

namespace octet::text::jinja {
namespace {

// Jinja reads every kind of line end as \n and drops the last one.
std::string normalize_newlines(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      result += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      result += source[i];
    }
  }
  if (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_newlines(source)) {}

  std::vector<Token> run();

 private:
  [[noreturn]] void fail_here(std::size_t offset, std::string message) {
    fail_at(position_at(offset), ErrorCode::invalid_file, std::move(message));
  }
  bool at(std::size_t offset, std::string_view text) const {
    return std::string_view(source_).substr(std::min(offset, source_.size())).starts_with(text);
  }
  char sign_at(std::size_t offset) const {
    return offset < source_.size() && (source_[offset] == '-' || source_[offset] == '+') ? source_[offset]
                                                                                         : '\0';
  }
  std::size_t skip_space(std::size_t offset) const;
  Position position_at(std::size_t offset);
  void add(TokenKind kind, std::string text, std::size_t offset);
  void add_data(std::size_t begin, std::size_t end, char sign, bool is_variable);

  void lex_tag(std::size_t tag);
  bool lex_raw(std::size_t tag, std::size_t after_sign);
  void lex_comment(std::size_t tag, std::size_t after_sign);
  void lex_expression(std::size_t tag, bool is_block);
  std::optional<std::size_t> match_end(std::size_t offset, bool is_block) const;
  std::optional<std::size_t> match_block_end(std::size_t offset) const;
  void lex_token();
  void lex_number();
  void lex_string();
  char32_t lex_escape();
  void lex_operator();

  std::string source_;
  std::size_t here_ = 0;
  bool line_starting_ = true;        // what came before here_ ended with a newline
  std::vector<char> open_brackets_;  // inside one tag
  std::vector<Token> tokens_;
  // position_at() walks forward from the last answer.
  std::size_t known_offset_ = 0;
  Position known_position_;
};

std::size_t Lexer::skip_space(std::size_t offset) const {
  while (offset < source_.size()) {
    const CodePoint c = code_point_at(source_, offset);
    if (!is_space(c.value)) break;
    offset += c.size;
  }
  return offset;
}

Position Lexer::position_at(std::size_t offset) {
  if (offset < known_offset_) {
    known_offset_ = 0;
    known_position_ = {};
  }
  for (; known_offset_ < offset && known_offset_ < source_.size(); ++known_offset_) {
    const char c = source_[known_offset_];
    if (c == '\n') {
      ++known_position_.line;
      known_position_.column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
      ++known_position_.column;
    }
  }
  return known_position_;
}

void Lexer::add(TokenKind kind, std::string text, std::size_t offset) {
  tokens_.push_back({kind, std::move(text), position_at(offset)});
}

// Text before a tag: `-` takes all white space before the tag, and lstrip_blocks the white space between
// the start of the line and a block or comment, unless the sign is `+`.
void Lexer::add_data(std::size_t begin, std::size_t end, char sign, bool is_variable) {
  std::string_view text = std::string_view(source_).substr(begin, end - begin);
  if (sign == '-') {
    text = strip(text, Side::right);
  } else if (sign != '+' && !is_variable) {
    const std::size_t line = text.rfind('\n') + 1;  // 0 where there is none
    if ((line > 0 || line_starting_) && strip(text.substr(line), Side::both).empty())
      text = text.substr(0, line);
  }
  if (!text.empty()) add(TokenKind::data, std::string(text), begin);
}

std::vector<Token> Lexer::run() {
  while (here_ < source_.size()) {
    std::size_t tag = source_.find('{', here_);
    while (tag != std::string::npos && !at(tag, "{{") && !at(tag, "{%") && !at(tag, "{#")) {
      tag = source_.find('{', tag + 1);
    }
    if (tag == std::string::npos) {
      add(TokenKind::data, source_.substr(here_), here_);
      here_ = source_.size();
    } else {
      lex_tag(tag);
    }
  }
  add(TokenKind::end, "", source_.size());
  return std::move(tokens_);
}

void Lexer::lex_tag(std::size_t tag) {
  const char sign = sign_at(tag + 2);
  const std::size_t after_sign = tag + 2 + (sign ? 1 : 0);
  add_data(here_, tag, sign, at(tag, "{{"));
  if (at(tag, "{#")) {
    lex_comment(tag, after_sign);
  } else if (!at(tag, "{%") || !lex_raw(tag, after_sign)) {
    here_ = after_sign;
    lex_expression(tag, at(tag, "{%"));
  }
  line_starting_ = source_[here_ - 1] == '\n';
}

// {% raw %} … {% endraw %}: false where the tag is another one.
bool Lexer::lex_raw(std::size_t tag, std::size_t after_sign) {
  std::size_t offset = skip_space(after_sign);
  if (!at(offset, "raw")) return false;
  offset = skip_space(offset + 3);
  if (at(offset, "-%}")) {
    offset = skip_space(offset + 3);
  } else if (at(offset, "%}")) {
    offset += 2;
  } else {
    return false;
  }
  line_starting_ = source_[offset - 1] == '\n';
  for (std::size_t end = source_.find("{%", offset); end != std::string::npos;
       end = source_.find("{%", end + 1)) {
    const char sign = sign_at(end + 2);
    const std::size_t word = skip_space(end + 2 + (sign ? 1 : 0));
    if (!at(word, "endraw")) continue;
    const auto after = match_block_end(skip_space(word + 6));
    if (!after) continue;
    add_data(offset, end, sign, false);
    here_ = *after;
    return true;
  }
  fail_here(tag, "{% raw %} is never closed");
}

void Lexer::lex_comment(std::size_t tag, std::size_t after_sign) {
  const std::size_t end = source_.find("#}", after_sign);
  if (end == std::string::npos) fail_here(tag, "a comment is never closed");
  const char sign = end > after_sign ? sign_at(end - 1) : '\0';
  here_ = end + 2;
  if (sign == '-') here_ = skip_space(here_);
  if (sign == '\0' && at(here_, "\n")) ++here_;
}

std::optional<std::size_t> Lexer::match_block_end(std::size_t offset) const {
  if (at(offset, "+%}")) return offset + 3;
  if (at(offset, "-%}")) return skip_space(offset + 3);
  if (at(offset, "%}\n")) return offset + 3;  // trim_blocks
  if (at(offset, "%}")) return offset + 2;
  return std::nullopt;
}

std::optional<std::size_t> Lexer::match_end(std::size_t offset, bool is_block) const {
  if (is_block) return match_block_end(offset);
  if (at(offset, "-}}")) return skip_space(offset + 3);
  if (at(offset, "}}")) return offset + 2;
  return std::nullopt;
}

void Lexer::lex_expression(std::size_t tag, bool is_block) {
  add(is_block ? TokenKind::block_begin : TokenKind::variable_begin, is_block ? "{%" : "{{", tag);
  open_brackets_.clear();
  while (true) {
    if (open_brackets_.empty()) {
      if (const auto end = match_end(here_, is_block)) {
        add(is_block ? TokenKind::block_end : TokenKind::variable_end, is_block ? "%}" : "}}", here_);
        here_ = *end;
        return;
      }
    }
    here_ = skip_space(here_);
    if (here_ >= source_.size()) {
      fail_here(tag, is_block ? "this {% is never closed with %}" : "this {{ is never closed with }}");
    }
    if (!open_brackets_.empty() || !match_end(here_, is_block)) lex_token();
  }
}

void Lexer::lex_token() {
  const char c = source_[here_];
  if (is_ascii_digit(c)) return lex_number();
  if (c == '\'' || c == '"') return lex_string();
  std::size_t end = here_;
  while (end < source_.size()) {
    const CodePoint point = code_point_at(source_, end);
    if (!is_word(point.value)) break;
    end += point.size;
  }
  if (end == here_) return lex_operator();
  add(TokenKind::name, source_.substr(here_, end - here_), here_);
  here_ = end;
}

void Lexer::lex_number() {
  std::string digits;
  std::size_t end = here_;
  // Digits with single underscores between them.
  const auto take = [&](auto accepts) {
    const std::size_t first = end;
    while (end < source_.size() &&
           (accepts(source_[end]) ||
            (source_[end] == '_' && end > first && end + 1 < source_.size() && accepts(source_[end + 1])))) {
      if (source_[end] != '_') digits += source_[end];
      ++end;
    }
    return end > first;
  };
  const auto is_hex = [](char c) {
    return is_ascii_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  const char base = here_ + 1 < source_.size() ? static_cast<char>(source_[here_ + 1] | 0x20) : '\0';
  if (source_[here_] == '0' && (base == 'x' || base == 'o' || base == 'b')) {
    digits = {'0', base};
    end += 2;
    const bool any = base == 'x'   ? take(is_hex)
                     : base == 'o' ? take([](char c) { return c >= '0' && c <= '7'; })
                                   : take([](char c) { return c == '0' || c == '1'; });
    if (!any) fail_here(here_, "a number has no digits after its prefix");
    add(TokenKind::integer, std::move(digits), here_);
    here_ = end;
    return;
  }
  take(is_ascii_digit);
  bool is_float = false;
  // After a dot (x.0.5) digits are always integers.
  const bool after_dot = here_ > 0 && source_[here_ - 1] == '.';
  if (!after_dot && end + 1 < source_.size() && source_[end] == '.' && is_ascii_digit(source_[end + 1])) {
    digits += '.';
    ++end;
    is_float = take(is_ascii_digit);
  }
  if (!after_dot && end < source_.size() && (source_[end] | 0x20) == 'e') {
    const std::size_t sign = sign_at(end + 1) ? 1 : 0;
    if (end + 1 + sign < source_.size() && is_ascii_digit(source_[end + 1 + sign])) {
      digits += source_.substr(end, 1 + sign);
      end += 1 + sign;
      is_float = take(is_ascii_digit);
    }
  }
  if (!is_float && digits.size() > 1 && digits[0] == '0' &&
      digits.find_first_not_of('0') != std::string::npos) {
    fail_here(here_, "a number may not start with 0");
  }
  add(is_float ? TokenKind::floating : TokenKind::integer, std::move(digits), here_);
  here_ = end;
}

void Lexer::lex_string() {
  const std::size_t begin = here_;
  const char quote = source_[here_++];
  std::string text;
  while (true) {
    if (here_ >= source_.size()) fail_here(begin, "a string is never closed");
    const char c = source_[here_++];
    if (c == quote) break;
    if (c != '\\') {
      text += c;
      continue;
    }
    if (here_ >= source_.size()) fail_here(begin, "a string is never closed");
    constexpr std::string_view kNames = "abfnrtv\\'\"";
    constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"";
    const std::size_t simple = kNames.find(source_[here_]);
    if (simple != std::string_view::npos) {
      text += kValues[simple];
      ++here_;
    } else if (source_[here_] == '\n') {
      ++here_;  // a continued line
    } else if (std::string_view("xuUN01234567").find(source_[here_]) != std::string_view::npos) {
      append_code_point(text, lex_escape());
    } else {
      text += '\\';  // as Python: an unknown escape stands for itself
    }
  }
  add(TokenKind::string, std::move(text), begin);
}

// \xHH, \uHHHH, \UHHHHHHHH and octal; here_ is behind the backslash.
char32_t Lexer::lex_escape() {
  const std::size_t begin = here_ - 1;
  const char kind = source_[here_];
  const bool octal = is_ascii_digit(kind);
  if (kind == 'N') fail_at(position_at(begin), ErrorCode::unsupported, "\\N{…} escapes are not supported");
  if (!octal) ++here_;
  const std::size_t most = octal ? 3 : kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
  std::uint32_t value = 0;
  std::size_t count = 0;
  for (; count < most && here_ < source_.size(); ++count, ++here_) {
    const char c = source_[here_];
    const char lower = static_cast<char>(c | 0x20);
    int digit = is_ascii_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
    if (digit >= (octal ? 8 : 16)) break;
    value = value * (octal ? 8 : 16) + static_cast<std::uint32_t>(digit);
  }
  if (!octal && count < most) {
    fail_here(begin, std::string("\\") + kind + " needs " + std::to_string(most) + " hexadecimal digits");
  }
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    fail_here(begin, "an escape names no Unicode character");
  }
  return value;
}

void Lexer::lex_operator() {
  constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
  for (const std::string_view op : kOperators) {
    if (!at(here_, op)) continue;
    const char c = op[0];
    if (c == '(' || c == '[' || c == '{') open_brackets_.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (open_brackets_.empty()) fail_here(here_, "unexpected '" + std::string(op) + "'");
      if (open_brackets_.back() != c) {
        fail_here(here_, "unexpected '" + std::string(op) + "', expected '" + open_brackets_.back() + "'");
      }
      open_brackets_.pop_back();
    }
    add(TokenKind::op, std::string(op), here_);
    here_ += op.size();
    return;
  }
  const std::size_t size = code_point_at(source_, here_).size;
  fail_here(here_, "unexpected character '" + source_.substr(here_, size) + "'");
}

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace octet::text::jinja
