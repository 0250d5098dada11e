#include "text/pre_tokenizer.h"

#include <utility>

#include "text/byte_alphabet.h"
#include "text/text_pattern.h"
#include "text/unicode_classes.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

constexpr int kMaxNesting = 16;

// GPT-2's division into words, which ByteLevel means where use_regex is true.
constexpr std::string_view kByteLevelWords =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Splits every word where a subclass finds its parts.
class Splitter : public PreTokenizer::Step {
 public:
  void apply(Words& words) const final {
    std::vector<Words::Word> result;
    result.reserve(words.words.size());
    std::vector<Span> matches;
    std::vector<Span> parts;
    for (const Words::Word& word : words.words) {
      split(words.text(word), matches, parts);
      for (const Span& part : parts) {
        result.push_back({word.begin + part.begin, word.begin + part.end, word.at_start && part.begin == 0});
      }
    }
    words.words = std::move(result);
  }

 protected:
  // Fills `parts`; `matches` is room to work in.
  virtual void split(std::string_view text, std::vector<Span>& matches, std::vector<Span>& parts) const = 0;
};

class PatternSplitter final : public Splitter {
 public:
  PatternSplitter(TextPattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

 protected:
  void split(std::string_view text, std::vector<Span>& matches, std::vector<Span>& parts) const override {
    pattern_.find_all(text, matches);
    split_text(text.size(), matches, invert_, behavior_, parts);
  }

 private:
  TextPattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class CharacterSplitter final : public Splitter {
 public:
  CharacterSplitter(bool (*wanted)(char32_t), SplitBehavior behavior) : wanted_(wanted), behavior_(behavior) {}

 protected:
  void split(std::string_view text, std::vector<Span>& matches, std::vector<Span>& parts) const override {
    find_characters(text, wanted_, matches);
    split_text(text.size(), matches, false, behavior_, parts);
  }

 private:
  bool (*wanted_)(char32_t);
  SplitBehavior behavior_;
};

// Whitespace: runs of word characters and runs of what is neither word character nor white space.
class WordRuns final : public Splitter {
 protected:
  void split(std::string_view text, std::vector<Span>& /*matches*/, std::vector<Span>& parts) const override {
    enum class Kind { space, word, other };
    parts.clear();
    Kind previous = Kind::space;
    for (std::size_t position = 0; position < text.size();) {
      const std::size_t begin = position;
      const char32_t c = next_code_point(text, position);
      const Kind kind = is_word_character(c) ? Kind::word : is_white_space(c) ? Kind::space : Kind::other;
      if (kind != Kind::space && kind == previous) {
        parts.back().end = position;
      } else if (kind != Kind::space) {
        parts.push_back({begin, position});
      }
      previous = kind;
    }
  }
};

class ByteLevel final : public PreTokenizer::Step {
 public:
  ByteLevel(bool add_prefix_space, std::optional<Regex> regex)
      : add_prefix_space_(add_prefix_space), regex_(std::move(regex)) {}

  void apply(Words& words) const override {
    Words result;
    result.buffer.reserve(words.buffer.size() + words.buffer.size() / 4);
    std::vector<Span> matches;
    std::string with_space;
    for (const Words::Word& word : words.words) {
      std::string_view text = words.text(word);
      if (add_prefix_space_ && !text.starts_with(' ')) {
        with_space.assign(1, ' ');
        with_space += text;
        text = with_space;
      }
      matches.clear();
      if (regex_) regex_->find_all(text, matches);
      std::size_t end = 0;
      for (const Span& match : matches) {
        append(text.substr(end, match.begin - end), word.at_start && end == 0, result);
        append(text.substr(match.begin, match.end - match.begin), word.at_start && match.begin == 0, result);
        end = match.end;
      }
      append(text.substr(end), word.at_start && end == 0, result);
    }
    words = std::move(result);
  }

 private:
  static void append(std::string_view text, bool at_start, Words& result) {
    if (text.empty()) return;
    const std::size_t begin = result.buffer.size();
    append_byte_characters(result.buffer, text);
    result.words.push_back({begin, result.buffer.size(), at_start});
  }

  bool add_prefix_space_;
  std::optional<Regex> regex_;
};

enum class PrependScheme { always, first, never };

class Metaspace final : public PreTokenizer::Step {
 public:
  Metaspace(char32_t replacement, PrependScheme scheme, bool split) : scheme_(scheme), split_(split) {
    append_utf8(replacement_, replacement);
  }

  void apply(Words& words) const override {
    Words result;
    result.buffer.reserve(words.buffer.size() + words.buffer.size() / 4);
    for (const Words::Word& word : words.words) {
      const std::size_t begin = result.buffer.size();
      const std::string_view text = words.text(word);
      const bool prepends =
          scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && word.at_start);
      if (prepends && !text.starts_with(' ') && !text.starts_with(replacement_)) result.buffer += replacement_;
      for (const char c : text) c == ' ' ? result.buffer += replacement_ : result.buffer += c;
      add_words(begin, word.at_start, result);
    }
    words = std::move(result);
  }

 private:
  // Makes words of the buffer from `begin` on; each replacement begins one.
  void add_words(std::size_t begin, bool at_start, Words& result) const {
    const std::string_view buffer = result.buffer;
    while (split_) {
      const std::size_t next = buffer.find(replacement_, begin + 1);
      if (next == std::string_view::npos) break;
      result.words.push_back({begin, next, at_start});
      begin = next;
      at_start = false;
    }
    if (begin < buffer.size()) result.words.push_back({begin, buffer.size(), at_start});
  }

  std::string replacement_;
  PrependScheme scheme_;
  bool split_;
};

std::shared_ptr<const PreTokenizer::Step> parse_metaspace(const JsonField& field) {
  PrependScheme scheme = PrependScheme::always;
  if (const auto member = field.find("prepend_scheme")) {
    const std::string name = member->string();
    if (name == "first") {
      scheme = PrependScheme::first;
    } else if (name == "never") {
      scheme = PrependScheme::never;
    } else if (name != "always") {
      member->expected("always, first or never");
    }
  }
  // The older spelling, which must not contradict the newer.
  if (!field.boolean_or("add_prefix_space", true)) {
    if (field.find("prepend_scheme") && scheme != PrependScheme::never) {
      field.fail("add_prefix_space is false, but prepend_scheme is not never");
    }
    scheme = PrependScheme::never;
  }
  return std::make_shared<Metaspace>(field.at("replacement").character(), scheme,
                                     field.boolean_or("split", true));
}

using Steps = std::vector<std::shared_ptr<const PreTokenizer::Step>>;

void parse_into(const JsonField& field, int depth, Steps& steps) {
  if (depth > kMaxNesting) field.fail("nested too deeply");
  const std::string type = field.at("type").string();
  if (type == "ByteLevel") {
    std::optional<Regex> regex;
    if (field.boolean_or("use_regex", true)) regex = Regex::compile(kByteLevelWords, field.context());
    steps.push_back(std::make_shared<ByteLevel>(field.at("add_prefix_space").boolean(), std::move(regex)));
  } else if (type == "Split") {
    steps.push_back(std::make_shared<PatternSplitter>(TextPattern::parse(field.at("pattern")),
                                                      parse_split_behavior(field.at("behavior")),
                                                      field.at("invert").boolean()));
  } else if (type == "Digits") {
    const bool individual = field.boolean_or("individual_digits", false);
    steps.push_back(std::make_shared<CharacterSplitter>(
        is_numeric, individual ? SplitBehavior::Isolated : SplitBehavior::Contiguous));
  } else if (type == "Whitespace") {
    steps.push_back(std::make_shared<WordRuns>());
  } else if (type == "WhitespaceSplit") {
    steps.push_back(std::make_shared<CharacterSplitter>(is_white_space, SplitBehavior::Removed));
  } else if (type == "Punctuation") {
    const auto behavior = field.find("behavior");
    steps.push_back(std::make_shared<CharacterSplitter>(
        is_punctuation, behavior ? parse_split_behavior(*behavior) : SplitBehavior::Isolated));
  } else if (type == "Metaspace") {
    steps.push_back(parse_metaspace(field));
  } else if (type == "Sequence") {
    for (const JsonField& inner : field.at("pretokenizers").elements()) parse_into(inner, depth + 1, steps);
  } else {
    field.unsupported("pre-tokenizer type \"" + type + "\" is not supported");
  }
}

}  // namespace

PreTokenizer PreTokenizer::parse(const std::optional<JsonField>& field) {
  PreTokenizer result;
  if (field) parse_into(*field, 0, result.steps_);
  return result;
}

void PreTokenizer::apply(Words& words) const {
  for (const auto& step : steps_) step->apply(words);
}

}  // namespace octet::text
