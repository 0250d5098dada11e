#include "text/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/text_pattern.h"
#include "text/unicode_classes.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

constexpr int kMaxNesting = 16;

// Appends the form of `text`, which holds no inert character.
void append_form(std::string& out, std::string_view text, int options) {
  if (text.empty()) return;
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &result,
                                             static_cast<utf8proc_option_t>(options));
  if (size < 0) throw Error(ErrorCode::out_of_memory, utf8proc_errmsg(size), "Unicode normalization");
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  out.append(reinterpret_cast<const char*>(result), static_cast<std::size_t>(size));
}

class Form final : public Normalizer::Step {
 public:
  Form(int options, unsigned char first_changing) : options_(options), first_changing_(first_changing) {}

  void apply(std::string& text, bool& /*at_start*/) const override {
    std::size_t plain = 0;
    while (plain < text.size() && static_cast<unsigned char>(text[plain]) < first_changing_) ++plain;
    if (plain == text.size()) return;
    std::string out;
    out.reserve(text.size());
    std::size_t begin = 0;
    for (std::size_t position = 0; position < text.size();) {
      const std::size_t at = position;
      if (!is_inert_in_forms(next_code_point(text, position))) continue;
      append_form(out, std::string_view(text).substr(begin, at - begin), options_);
      out.append(text, at, position - at);
      begin = position;
    }
    append_form(out, std::string_view(text).substr(begin), options_);
    text = std::move(out);
  }

 private:
  int options_;
  unsigned char first_changing_;  // bytes below it belong to characters that the form leaves alone
};

class Lowercase final : public Normalizer::Step {
 public:
  void apply(std::string& text, bool& /*at_start*/) const override {
    std::string out;
    out.reserve(text.size());
    for (std::size_t position = 0; position < text.size();) append_lower(out, next_code_point(text, position));
    text = std::move(out);
  }
};

class Replace final : public Normalizer::Step {
 public:
  Replace(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(std::string& text, bool& at_start) const override {
    std::vector<Span> matches;
    if (text.empty()) return;
    pattern_.find_all(text, matches);
    if (matches.empty()) return;
    std::string out;
    std::size_t end = 0;
    for (const Span& match : matches) {
      out.append(text, end, match.begin - end);
      out += content_;
      end = match.end;
    }
    if (matches.front().begin == 0 && matches.front().end > 0) {
      std::size_t one = 0;
      next_code_point(text, one);
      if (content_.empty() || matches.front().end > one) at_start = false;
    }
    out.append(text, end);
    text = std::move(out);
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

class Prepend final : public Normalizer::Step {
 public:
  explicit Prepend(std::string content) : content_(std::move(content)) {}
  void apply(std::string& text, bool& /*at_start*/) const override {
    if (!text.empty()) text.insert(0, content_);
  }

 private:
  std::string content_;
};

class Strip final : public Normalizer::Step {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void apply(std::string& text, bool& at_start) const override {
    std::size_t end = text.size();
    while (right_ && end > 0) {
      std::size_t before = end;
      if (!is_white_space(previous_code_point(text, before))) break;
      end = before;
    }
    text.resize(end);
    std::size_t begin = 0;
    while (left_ && begin < text.size()) {
      std::size_t after = begin;
      if (!is_white_space(next_code_point(text, after))) break;
      begin = after;
    }
    text.erase(0, begin);
    if (begin > 0) at_start = false;
  }

 private:
  bool left_;
  bool right_;
};

class StripAccents final : public Normalizer::Step {
 public:
  void apply(std::string& text, bool& at_start) const override {
    std::string out;
    out.reserve(text.size());
    for (std::size_t position = 0; position < text.size();) {
      const std::size_t begin = position;
      if (!is_strippable_mark(next_code_point(text, position))) {
        out.append(text, begin, position - begin);
      } else if (begin == 0) {
        at_start = false;
      }
    }
    text = std::move(out);
  }
};

class ByteCharacters final : public Normalizer::Step {
 public:
  void apply(std::string& text, bool& /*at_start*/) const override {
    std::string out;
    append_byte_characters(out, text);
    text = std::move(out);
  }
};

using Steps = std::vector<std::shared_ptr<const Normalizer::Step>>;

void parse_into(const JsonField& field, int depth, Steps& steps) {
  if (depth > kMaxNesting) field.fail("nested too deeply");
  const std::string type = field.at("type").string();
  constexpr int kCompose = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  constexpr int kDecompose = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  // The lead bytes of the first characters that a form may change: U+0300, U+00C0 and U+00A0.
  if (type == "NFC") {
    steps.push_back(std::make_shared<Form>(kCompose, 0xCC));
  } else if (type == "NFD") {
    steps.push_back(std::make_shared<Form>(kDecompose, 0xC3));
  } else if (type == "NFKC") {
    steps.push_back(std::make_shared<Form>(kCompose | UTF8PROC_COMPAT, 0xC2));
  } else if (type == "NFKD") {
    steps.push_back(std::make_shared<Form>(kDecompose | UTF8PROC_COMPAT, 0xC2));
  } else if (type == "Lowercase") {
    steps.push_back(std::make_shared<Lowercase>());
  } else if (type == "Replace") {
    steps.push_back(
        std::make_shared<Replace>(TextPattern::parse(field.at("pattern")), field.at("content").string()));
  } else if (type == "Prepend") {
    steps.push_back(std::make_shared<Prepend>(field.at("prepend").string()));
  } else if (type == "Strip") {
    steps.push_back(
        std::make_shared<Strip>(field.at("strip_left").boolean(), field.at("strip_right").boolean()));
  } else if (type == "StripAccents") {
    steps.push_back(std::make_shared<StripAccents>());
  } else if (type == "ByteLevel") {
    steps.push_back(std::make_shared<ByteCharacters>());
  } else if (type == "Sequence") {
    for (const JsonField& inner : field.at("normalizers").elements()) parse_into(inner, depth + 1, steps);
  } else {
    field.unsupported("normalizer type \"" + type + "\" is not supported");
  }
}

}  // namespace

Normalizer Normalizer::parse(const std::optional<JsonField>& field) {
  Normalizer normalizer;
  if (field) parse_into(*field, 0, normalizer.steps_);
  return normalizer;
}

void Normalizer::apply(std::string& text, bool& at_start) const {
  for (const auto& step : steps_) step->apply(text, at_start);
}

}  // namespace octet::text
