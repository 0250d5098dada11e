#include "text/regex_syntax.h"

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "text/regex_classes.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

constexpr std::size_t kNoAtom = static_cast<std::size_t>(-1);

std::size_t characters_before(std::string_view text, std::size_t offset) {
  std::size_t count = 0;
  for (std::size_t position = 0; position < offset && position < text.size(); ++count) {
    next_code_point(text, position);
  }
  return count;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& context) : pattern_(pattern), context_(context) {
    result_.pattern = std::string(pattern);
  }

  TranslatedPattern run() {
    groups_.push_back({0, 0});
    while (!done()) {
      item_ = at_;
      translate_item();
    }
    put(std::string(groups_.back().closes, ')'));
    return std::move(result_);
  }

 private:
  struct Group {
    std::size_t begin;   // where its '(' is in the result
    std::size_t closes;  // parentheses that an option in mid-group opened
  };

  bool done() const { return at_ >= pattern_.size(); }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  void put(std::string_view text) {
    result_.text += text;
    result_.origins.resize(result_.text.size(), item_);
  }
  void put_atom(std::string_view text) {
    atom_ = result_.text.size();
    put(text);
  }
  void put_range(std::uint32_t code_point) {
    char buffer[16];
    std::snprintf(buffer, sizeof buffer, "\\x{%X}", code_point);
    put(buffer);
  }

  [[noreturn]] void fail(ErrorCode code, const std::string& message) const {
    throw Error(code,
                "regular expression, character offset " + std::to_string(characters_before(pattern_, item_)) +
                    ": " + message,
                context_);
  }
  [[noreturn]] void unsupported(const std::string& what) const {
    fail(ErrorCode::unsupported, what + " is not supported");
  }

  void translate_item();
  void translate_escape();
  void translate_group();
  void translate_options();
  void translate_close();
  void translate_brace();
  void translate_class();
  void translate_class_escape();
  void translate_posix_class();
  bool set_begins(std::size_t ahead) const;
  std::string read_property(bool& negated, bool alone);
  std::optional<std::uint32_t> read_code_point_escape();
  void wrap_atom();

  std::string_view pattern_;
  const std::string& context_;
  TranslatedPattern result_;
  std::vector<Group> groups_;
  std::size_t at_ = 0;
  std::size_t item_ = 0;        // where the construct being translated begins
  std::size_t atom_ = kNoAtom;  // where the last repeatable item begins in the result
};

void Translator::translate_item() {
  const char c = peek();
  switch (c) {
    case '\\':
      return translate_escape();
    case '(':
      return translate_group();
    case ')':
      return translate_close();
    case '[':
      return translate_class();
    case '{':
      return translate_brace();
    case '*':
    case '+':
    case '?': {
      std::size_t length = 1;
      if (peek(1) == '?' || peek(1) == '+') length = 2;
      put(pattern_.substr(at_, length));
      at_ += length;
      return;
    }
    case '|':
      atom_ = kNoAtom;
      put("|");
      ++at_;
      return;
    case ']':
    case '}':
      put_atom(c == ']' ? "\\]" : "\\}");
      ++at_;
      return;
    default: {
      const std::size_t begin = at_;
      next_code_point(pattern_, at_);
      put_atom(pattern_.substr(begin, at_ - begin));
    }
  }
}

// \xHH, \x{H…}, \uHHHH, \0…: the code point, with at_ moved past it; nothing where the escape is another.
std::optional<std::uint32_t> Translator::read_code_point_escape() {
  const char kind = peek(1);
  std::size_t begin = at_ + 2;
  std::size_t most = 2;
  int base = 16;
  bool braced = false;
  if (kind == 'x' && peek(2) == '{') {
    braced = true;
    begin = at_ + 3;
    most = 8;
  } else if (kind == 'u') {
    most = 4;
  } else if (kind == '0') {
    base = 8;
  } else if (kind != 'x') {
    return std::nullopt;
  }
  std::uint32_t value = 0;
  std::size_t end = begin;
  while (end < pattern_.size() && end - begin < most) {
    const char c = pattern_[end];
    const bool digit = base == 8 ? (c >= '0' && c <= '7') : std::isxdigit(static_cast<unsigned char>(c)) != 0;
    if (!digit) break;
    const int worth = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    value = value * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(worth);
    ++end;
  }
  if (kind == 'u' && end - begin != 4) fail(ErrorCode::invalid_file, "\\u needs four hexadecimal digits");
  if (kind == 'x' && end == begin) fail(ErrorCode::invalid_file, "\\x needs hexadecimal digits");
  if (braced) {
    if (end >= pattern_.size() || pattern_[end] != '}') fail(ErrorCode::invalid_file, "\\x{ is not closed");
    ++end;
  } else if (kind == 'x' && value > 0x7F) {
    unsupported("a byte above \\x7F (write the character, or \\x{…})");
  }
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    fail(ErrorCode::invalid_file, "not a Unicode character");
  }
  at_ = end;
  return value;
}

// The members of \p{…} or \P{…} at at_, which is moved past it.
std::string Translator::read_property(bool& negated, bool alone) {
  negated = peek(1) == 'P';
  if (peek(2) != '{') fail(ErrorCode::invalid_file, "\\p needs a name in braces");
  const std::size_t close = pattern_.find('}', at_);
  if (close == std::string_view::npos) fail(ErrorCode::invalid_file, "\\p{ is not closed");
  std::string_view name = pattern_.substr(at_ + 3, close - at_ - 3);
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  std::optional<std::string> members = property_members(name, alone);
  if (!members) unsupported("the property \\p{" + std::string(name) + "}");
  at_ = close + 1;
  return *std::move(members);
}

void Translator::translate_escape() {
  if (at_ + 1 >= pattern_.size()) fail(ErrorCode::invalid_file, "a backslash at the end");
  const char c = peek(1);
  if (const std::optional<std::uint32_t> code_point = read_code_point_escape()) {
    atom_ = result_.text.size();
    return put_range(*code_point);
  }
  if (c == 'p' || c == 'P') {
    bool negated = false;
    const std::string members = read_property(negated, true);
    return put_atom((negated ? "[^" : "[") + members + "]");
  }
  at_ += 2;
  const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower == 's' || lower == 'w' || lower == 'd' || lower == 'h') {
    return put_atom((c == lower ? "[" : "[^") + shorthand_members(lower, true) + "]");
  }
  if (lower == 'b') {
    std::string word(1, '[');
    word += shorthand_members('w', true);
    word += ']';
    const std::string edge = c == 'b' ? "(?:(?<=W)(?!W)|(?<!W)(?=W))" : "(?:(?<=W)(?=W)|(?<!W)(?!W))";
    std::string expanded;
    for (const char part : edge) part == 'W' ? expanded += word : expanded += part;
    return put_atom(expanded);
  }
  if (c == 'v') return put_atom("\\x{B}");
  if (std::string_view("nrtfaeAzZGKRX").find(c) != std::string_view::npos || (c >= '1' && c <= '9')) {
    std::string escape = {'\\', c};
    while (is_digit(c) && is_digit(peek())) escape += pattern_[at_++];
    return put_atom(escape);
  }
  if (c == 'k' && peek() == '<') {
    const std::size_t close = pattern_.find('>', at_);
    if (close == std::string_view::npos) fail(ErrorCode::invalid_file, "\\k< is not closed");
    put_atom(pattern_.substr(item_, close + 1 - item_));
    at_ = close + 1;
    return;
  }
  if (std::isalnum(static_cast<unsigned char>(c))) unsupported(std::string("the escape \\") + c);
  if (static_cast<unsigned char>(c) < 0x80) return put_atom(std::string{'\\', c});
  --at_;  // an escaped character beyond ASCII is itself
  const std::size_t begin = at_;
  next_code_point(pattern_, at_);
  put_atom(pattern_.substr(begin, at_ - begin));
}

void Translator::translate_group() {
  if (next_is("(*")) unsupported("the callout (*…)");
  if (next_is("(?#")) {
    const std::size_t close = pattern_.find(')', at_);
    if (close == std::string_view::npos) fail(ErrorCode::invalid_file, "(?# is not closed");
    at_ = close + 1;
    return;
  }
  std::string_view head = "(";
  if (next_is("(?")) {
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"}) {
      if (next_is(known)) head = known;
    }
    if (head.size() == 1 && next_is("(?<")) {
      const std::size_t close = pattern_.find('>', at_);
      if (close == std::string_view::npos) fail(ErrorCode::invalid_file, "the group's name is not closed");
      head = pattern_.substr(at_, close + 1 - at_);
    }
    if (head.size() == 1) return translate_options();
  }
  groups_.push_back({result_.text.size(), 0});
  put(head);
  at_ += head.size();
  atom_ = kNoAtom;
}

// (?imx-imx) and (?imx-imx:…). Ruby's m is PCRE2's s; an option without ':' encloses the rest of its group.
void Translator::translate_options() {
  std::string options;
  std::size_t end = at_ + 2;
  for (; end < pattern_.size() && pattern_[end] != ')' && pattern_[end] != ':'; ++end) {
    const char c = pattern_[end];
    if (c == 'i' || c == '-') {
      options += c;
    } else if (c == 'm') {
      options += 's';
    } else {
      unsupported("the group " + std::string(pattern_.substr(at_, end + 1 - at_)) + "…");
    }
  }
  if (end >= pattern_.size()) fail(ErrorCode::invalid_file, "the group is not closed");
  const bool encloses_rest = pattern_[end] == ')';
  if (encloses_rest) {
    ++groups_.back().closes;
  } else {
    groups_.push_back({result_.text.size(), 0});
  }
  put("(?" + options + ":");
  at_ = end + 1;
  atom_ = kNoAtom;
}

void Translator::translate_close() {
  if (groups_.size() == 1) fail(ErrorCode::invalid_file, "unmatched close parenthesis");
  put(std::string(groups_.back().closes + 1, ')'));
  atom_ = groups_.back().begin;
  groups_.pop_back();
  ++at_;
}

// Encloses the last atom with its repetition, so that it can be repeated again.
void Translator::wrap_atom() {
  if (atom_ == kNoAtom) fail(ErrorCode::invalid_file, "nothing to repeat");
  result_.text.insert(atom_, "(?:");
  result_.origins.insert(result_.origins.begin() + static_cast<std::ptrdiff_t>(atom_), 3, item_);
  put(")");
}

void Translator::translate_brace() {
  std::size_t end = at_ + 1;
  while (end < pattern_.size() && (is_digit(pattern_[end]) || pattern_[end] == ',')) ++end;
  const std::string_view inside = pattern_.substr(at_ + 1, end - at_ - 1);
  const std::size_t comma = inside.find(',');
  const bool interval =
      end < pattern_.size() && pattern_[end] == '}' && !inside.empty() && inside != "," &&
      (comma == std::string_view::npos || inside.find(',', comma + 1) == std::string_view::npos);
  if (!interval) {
    put_atom("\\{");
    ++at_;
    return;
  }
  put(inside.starts_with(',') ? "{0" : "{");
  put(inside);
  put("}");
  at_ = end + 1;
  // After an interval Ruby's + repeats and, where the interval is one number, so does ?; PCRE2's would make it
  // possessive and lazy.
  if (peek() == '+' || (peek() == '?' && comma == std::string_view::npos)) {
    wrap_atom();
  } else if (peek() == '?') {
    put("?");
    ++at_;
  }
}

void Translator::translate_class_escape() {
  if (at_ + 1 >= pattern_.size()) fail(ErrorCode::invalid_file, "a backslash at the end");
  const char c = peek(1);
  if (const std::optional<std::uint32_t> code_point = read_code_point_escape()) return put_range(*code_point);
  if (c == 'p' || c == 'P') {
    bool negated = false;
    const std::string members = read_property(negated, false);
    if (!negated) return put(members);
    // Only a plain \p{X} has a complement inside brackets; for new characters it is the older Unicode's.
    if (!members.starts_with("\\p{")) unsupported("this negated property inside brackets");
    return put("\\P" + members.substr(2, members.find('}') - 1));
  }
  at_ += 2;
  switch (c) {
    case 's':
    case 'w':
    case 'd':
    case 'h':
      return put(shorthand_members(c, false));
    case 'S':
      return put(non_space_members());
    case 'D':
      return put("\\P{Nd}");
    case 'v':
      return put("\\x{B}");
    case 'n':
    case 'r':
    case 't':
    case 'f':
    case 'a':
    case 'e':
    case 'b':
      return put(std::string{'\\', c});
    default:
      break;
  }
  if (std::isalnum(static_cast<unsigned char>(c)))
    unsupported(std::string("the escape \\") + c + " inside brackets");
  if (static_cast<unsigned char>(c) < 0x80) return put(std::string{'\\', c});
  --at_;
  const std::size_t begin = at_;
  next_code_point(pattern_, at_);
  put(pattern_.substr(begin, at_ - begin));
}

// Whether a set of characters (\s, \p{…}, [:…:]) begins `ahead` bytes further: '-' beside one is a hyphen.
bool Translator::set_begins(std::size_t ahead) const {
  if (peek(ahead) == '[') return true;
  return peek(ahead) == '\\' && std::string_view("swdhpPSDWH").find(peek(ahead + 1)) != std::string_view::npos;
}

void Translator::translate_posix_class() {
  const std::size_t close = pattern_.find(":]", at_);
  if (!next_is("[:") || close == std::string_view::npos) unsupported("a class inside a class");
  const std::string_view name = pattern_.substr(at_ + 2, close - at_ - 2);
  const std::optional<std::string> members = property_members(name, false);
  if (!members) unsupported("the class [:" + std::string(name) + ":]");
  put(*members);
  at_ = close + 2;
}

void Translator::translate_class() {
  atom_ = result_.text.size();
  put("[");
  ++at_;
  if (peek() == '^') {
    put("^");
    ++at_;
  }
  bool after_set = false;
  for (bool first = true; first || peek() != ']'; first = false) {
    if (done()) fail(ErrorCode::invalid_file, "the class [ is not closed");
    item_ = at_;
    if (next_is("&&")) unsupported("the class intersection &&");
    const bool set = set_begins(0);
    if (peek() == '[') {
      translate_posix_class();
    } else if (peek() == '\\') {
      translate_class_escape();
    } else if (peek() == ']' || (peek() == '-' && (after_set || set_begins(1)))) {
      put(std::string{'\\', peek()});
      ++at_;
    } else {
      const std::size_t begin = at_;
      next_code_point(pattern_, at_);
      put(pattern_.substr(begin, at_ - begin));
    }
    after_set = set;
    if (done()) fail(ErrorCode::invalid_file, "the class [ is not closed");
  }
  put("]");
  ++at_;
}

}  // namespace

std::size_t TranslatedPattern::origin_of(std::size_t offset) const {
  return characters_before(pattern, offset < origins.size() ? origins[offset] : pattern.size());
}

TranslatedPattern translate_pattern(std::string_view pattern, const std::string& context) {
  return Translator(pattern, context).run();
}

}  // namespace octet::text
