#include "text/decoder_stages.h"

#include <cctype>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

using Output = Decoder::Output;

// A stage from a class of Progress, made from the stage's settings, and a function for one token alone.
template <typename ProgressType, typename Settings>
class StageOf final : public Decoder::Stage {
 public:
  explicit StageOf(Settings settings) : settings_(std::move(settings)) {}
  std::unique_ptr<Decoder::Progress> start() const override {
    return std::make_unique<ProgressType>(settings_);
  }
  void rewrite_token(std::string& token) const override { ProgressType::rewrite_token(settings_, token); }

 private:
  Settings settings_;
};

template <typename ProgressType, typename Settings>
DecoderStage make_stage(Settings settings) {
  return std::make_shared<StageOf<ProgressType, Settings>>(std::move(settings));
}

struct Nothing {};

// For stages that need to see a token whole.
class WholeTokens : public Decoder::Progress {
 public:
  void push(std::string_view piece, bool ends_token, const Output& output) final {
    if (ends_token && token_.empty()) return take(piece, output);
    token_ += piece;
    if (!ends_token) return;
    const std::string token = std::exchange(token_, {});
    take(token, output);
  }

 protected:
  virtual void take(std::string_view token, const Output& output) = 0;

 private:
  std::string token_;
};

class JoinWithSpaces final : public Decoder::Progress {
 public:
  explicit JoinWithSpaces(Nothing) {}
  static void rewrite_token(Nothing, std::string&) {}

  void push(std::string_view piece, bool ends_token, const Output& output) override {
    if (token_begins_ && !first_) output(" ", true);
    token_begins_ = ends_token;
    first_ = false;
    output(piece, ends_token);
  }
  void finish(const Output&) override {}

 private:
  bool first_ = true;
  bool token_begins_ = true;
};

class ByteLevel final : public WholeTokens {
 public:
  explicit ByteLevel(Nothing) {}
  static void rewrite_token(Nothing, std::string& token) {
    std::string bytes;
    append_bytes_of(bytes, token);
    token = std::move(bytes);
  }

  void finish(const Output& output) override {
    std::string text;
    append_lossy(text, bytes_, true);
    output(text, true);
  }

 protected:
  void take(std::string_view token, const Output& output) override {
    append_bytes_of(bytes_, token);
    std::string text;
    bytes_.erase(0, append_lossy(text, bytes_, false));
    if (!text.empty()) output(text, false);
  }

 private:
  std::string bytes_;  // the beginning of a character
};

std::optional<char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0) return std::nullopt;
    value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return static_cast<char>(value);
}

class ByteFallback final : public WholeTokens {
 public:
  explicit ByteFallback(Nothing) {}
  static void rewrite_token(Nothing, std::string& token) {
    if (const std::optional<char> byte = fallback_byte(token)) token.assign(1, *byte);
  }

  void finish(const Output& output) override { end_run(output); }

 protected:
  void take(std::string_view token, const Output& output) override {
    if (const std::optional<char> byte = fallback_byte(token)) {
      run_ += *byte;
      return;
    }
    end_run(output);
    output(token, true);
  }

 private:
  void end_run(const Output& output) {
    if (run_.empty()) return;
    const std::string run = std::exchange(run_, {});
    if (!find_invalid_utf8(run)) return output(run, true);
    for (std::size_t k = 0; k < run.size(); ++k) output("\xEF\xBF\xBD", true);
  }

  std::string run_;
};

struct Replacement {
  TextPattern pattern;
  std::string content;
};

class Replace final : public WholeTokens {
 public:
  explicit Replace(const Replacement& settings) : settings_(settings) {}
  static void rewrite_token(const Replacement& settings, std::string& token) {
    if (find_invalid_utf8(token)) return;  // already bytes
    token = replaced(settings, token);
  }

  void finish(const Output&) override {}

 protected:
  void take(std::string_view token, const Output& output) override { output(replaced(settings_, token), true); }

 private:
  static std::string replaced(const Replacement& settings, std::string_view token) {
    std::string result;
    if (token.empty()) return result;
    std::vector<Span> matches;
    settings.pattern.find_all(token, matches);
    std::size_t end = 0;
    for (const Span& match : matches) {
      result += token.substr(end, match.begin - end);
      result += settings.content;
      end = match.end;
    }
    result += token.substr(end);
    return result;
  }

  const Replacement& settings_;
};

struct MetaspaceSettings {
  char32_t replacement;
  bool drops_first;
};

class Metaspace final : public Decoder::Progress {
 public:
  explicit Metaspace(const MetaspaceSettings& settings) : settings_(settings) {}
  static void rewrite_token(const MetaspaceSettings& settings, std::string& token) {
    if (!find_invalid_utf8(token)) token = rewritten(settings, token, false);
  }

  void push(std::string_view piece, bool ends_token, const Output& output) override {
    output(rewritten(settings_, piece, first_ && settings_.drops_first), ends_token);
    if (ends_token) first_ = false;
  }
  void finish(const Output&) override {}

 private:
  static std::string rewritten(const MetaspaceSettings& settings, std::string_view piece, bool drop) {
    std::string result;
    for (std::size_t position = 0; position < piece.size();) {
      const std::size_t begin = position;
      if (next_code_point(piece, position) != settings.replacement) {
        result += piece.substr(begin, position - begin);
      } else if (!drop) {
        result += ' ';
      }
    }
    return result;
  }

  const MetaspaceSettings& settings_;
  bool first_ = true;
};

class Fuse final : public Decoder::Progress {
 public:
  explicit Fuse(Nothing) {}
  static void rewrite_token(Nothing, std::string&) {}
  void push(std::string_view piece, bool, const Output& output) override {
    if (!piece.empty()) output(piece, false);
  }
  void finish(const Output& output) override { output({}, true); }
};

struct StripSettings {
  std::string content;  // one character
  std::size_t start;
  std::size_t stop;
};

class Strip final : public Decoder::Progress {
 public:
  explicit Strip(const StripSettings& settings) : settings_(settings), to_strip_(settings.start) {}
  static void rewrite_token(const StripSettings&, std::string&) {}

  void push(std::string_view piece, bool ends_token, const Output& output) override {
    const std::string& content = settings_.content;
    while (to_strip_ > 0 && piece.starts_with(content)) {
      piece.remove_prefix(content.size());
      --to_strip_;
    }
    if (!piece.empty()) to_strip_ = 0;
    // What may have to go is kept back: up to `stop` times the content at the end.
    std::string text = std::exchange(held_, {});
    text += piece;
    std::size_t held = 0;
    std::size_t end = text.size();
    while (held < settings_.stop && std::string_view(text).substr(0, end).ends_with(content)) {
      end -= content.size();
      ++held;
    }
    if (!ends_token) held_ = text.substr(end);
    if (ends_token || end > 0) output(std::string_view(text).substr(0, end), ends_token);
    if (ends_token) to_strip_ = settings_.start;
  }
  void finish(const Output&) override {}

 private:
  const StripSettings& settings_;
  std::size_t to_strip_;
  std::string held_;
};

class WordEnd final : public WholeTokens {
 public:
  explicit WordEnd(const std::string& suffix) : suffix_(suffix) {}
  static void rewrite_token(const std::string& suffix, std::string& token) {
    token = replaced(suffix, token, " ");
  }

  void finish(const Output& output) override {
    if (last_) output(replaced(suffix_, *last_, ""), true);
  }

 protected:
  void take(std::string_view token, const Output& output) override {
    if (last_) output(replaced(suffix_, *last_, " "), true);
    last_ = std::string(token);
  }

 private:
  static std::string replaced(const std::string& suffix, std::string_view token, std::string_view content) {
    std::string result;
    std::size_t done = 0;
    for (std::size_t at = token.find(suffix); at != std::string_view::npos; at = token.find(suffix, done)) {
      result += token.substr(done, at - done);
      result += content;
      done = at + suffix.size();
    }
    result += token.substr(done);
    return result;
  }

  const std::string& suffix_;
  std::optional<std::string> last_;
};

}  // namespace

DecoderStage make_join_with_spaces() { return make_stage<JoinWithSpaces>(Nothing{}); }
DecoderStage make_byte_level() { return make_stage<ByteLevel>(Nothing{}); }
DecoderStage make_byte_fallback() { return make_stage<ByteFallback>(Nothing{}); }
DecoderStage make_fuse() { return make_stage<Fuse>(Nothing{}); }

DecoderStage make_replace(TextPattern pattern, std::string content) {
  return make_stage<Replace>(Replacement{std::move(pattern), std::move(content)});
}

DecoderStage make_metaspace(char32_t replacement, bool drops_first) {
  return make_stage<Metaspace>(MetaspaceSettings{replacement, drops_first});
}

DecoderStage make_strip(char32_t content, std::size_t start, std::size_t stop) {
  StripSettings settings{{}, start, stop};
  append_utf8(settings.content, content);
  return make_stage<Strip>(std::move(settings));
}

DecoderStage make_word_end(std::string suffix) { return make_stage<WordEnd>(std::move(suffix)); }

}  // namespace octet::text
