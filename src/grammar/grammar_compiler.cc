#include "grammar/grammar_compiler.h"

#include <dlpack/dlpack.h>
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <exception>
#include <list>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "grammar/json_schema.h"
#include "grammar/regex_size.h"
#include "grammar/time_limit.h"

namespace octet::grammar {

namespace {

constexpr std::size_t kMostRegexBytes = 4096, kMostChoices = 1024, kMostChoiceBytes = 64 * 1024;
constexpr std::size_t kKeptGrammars = 32;

// What the library warned of while it compiled on this thread: that it leaves something of the form out.
thread_local std::string* warning = nullptr;

struct WarningsTo {
  explicit WarningsTo(std::string& text) { warning = &text; }
  ~WarningsTo() { warning = nullptr; }
  WarningsTo(const WarningsTo&) = delete;
  WarningsTo& operator=(const WarningsTo&) = delete;
};

[[noreturn]] void refuse(const std::string& field, const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message, field);
}

// A string literal of the library's grammars, which reads escapes as JSON does.
std::string quoted(const std::string& text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string literal = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      literal += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      literal += {'\\', 'x', kDigits[byte / 16], kDigits[byte % 16]};
    } else {
      literal += c;
    }
  }
  return literal + "\"";
}

std::string choice_grammar(const AnswerForm& form) {
  std::string grammar = "root ::= ";
  for (std::size_t i = 0; i < form.choices.size(); ++i)
    grammar += (i > 0 ? " | " : "") + quoted(form.choices[i]);
  return grammar;
}

void check(const AnswerForm& form) {
  const auto number = [](std::size_t value) { return std::to_string(value); };
  if (form.kind == FormKind::regex) {
    if (form.text.size() > kMostRegexBytes || regex_size(form.text, form.field) > kMostRegexSize)
      refuse(form.field, "expected an expression of at most " + std::to_string(kMostRegexSize) +
                             " characters with its repetitions written out, found more");
  }
  if (form.kind == FormKind::choice) {
    if (form.choices.empty() || form.choices.size() > kMostChoices)
      refuse(form.field,
             "expected 1 to " + number(kMostChoices) + " choices, found " + number(form.choices.size()));
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < form.choices.size(); ++i) {
      if (form.choices[i].empty())
        refuse(form.field + "[" + number(i) + "]", "expected a string that is not empty, found an empty one");
      bytes += form.choices[i].size();
    }
    if (bytes > kMostChoiceBytes)
      refuse(form.field, "expected at most " + number(kMostChoiceBytes) +
                             " bytes in all choices together, found " + number(bytes));
  }
}

// The library makes a pattern an automaton of what a JSON string may hold, or, where it cannot, a grammar that
// knows nothing of quotes and escapes.
void check_pattern(const SchemaPattern& pattern) {
  const std::string schema = nlohmann::json{{"type", "string"}, {"pattern", pattern.pattern}}.dump();
  if (xgrammar::Grammar::FromJSONSchema(schema).ToString().find("Regex(") == std::string::npos)
    refuse(pattern.path, "expected a pattern of printable ASCII that some JSON string without escapes matches");
}

xgrammar::Grammar parse(const AnswerForm& form) {
  switch (form.kind) {
    case FormKind::json_object:
      return xgrammar::Grammar::FromJSONSchema(R"({"type":"object"})");
    case FormKind::json_schema:
      for (const SchemaPattern& pattern : check_json_schema(form.text, form.field)) check_pattern(pattern);
      return xgrammar::Grammar::FromJSONSchema(form.text);
    case FormKind::regex:
      // As one automaton, whose cost no nesting of repetitions drives up; "u" only asks for the usual dot.
      return xgrammar::Grammar::FromEBNF("root ::= Regex(" + quoted(form.text) + ", flags=\"u\")");
    case FormKind::choice:
      return xgrammar::Grammar::FromEBNF(choice_grammar(form));
  }
  OCTET_CHECK(!"a form's kind");
}

// The tokens that answers of a kind may have, and of them those that they may begin with.
struct AllowedTokens {
  engine::TokenMask all;
  engine::TokenMask first;
};

// What the matchers of one model share.
struct Tokens {
  std::vector<std::string> text;
  xgrammar::TokenizerInfo info;
  AllowedTokens any;
  AllowedTokens json;

  explicit Tokens(const Vocabulary& vocabulary)
      : text(vocabulary.tokens),
        info(text, xgrammar::VocabType::RAW, static_cast<int>(text.size()), vocabulary.end_tokens),
        any{engine::TokenMask((text.size() + 31) / 32), engine::TokenMask((text.size() + 31) / 32)},
        json(any) {
    const auto& ends = vocabulary.end_tokens;
    for (std::size_t id = 0; id < text.size(); ++id) {
      const bool is_end = std::find(ends.begin(), ends.end(), static_cast<std::int32_t>(id)) != ends.end();
      if (text[id].empty() && !is_end) continue;
      // Such a space would be in the grammar's text and not in the answer's.
      const bool begins = !(vocabulary.drops_first_space && text[id].starts_with(' '));
      allow(id, begins, any);
      // The library lets control characters into strings of bounded length. Nothing in JSON needs them but line
      // breaks, which it does keep out of strings.
      const auto is_control = [](char c) {
        return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r';
      };
      if (std::none_of(text[id].begin(), text[id].end(), is_control)) allow(id, begins, json);
    }
  }

  static void allow(std::size_t id, bool begins, AllowedTokens& tokens) {
    tokens.all[id / 32] |= 1u << (id % 32);
    if (begins) tokens.first[id / 32] |= 1u << (id % 32);
  }
};

class Matcher final : public engine::TokenMatcher {
 public:
  Matcher(std::shared_ptr<const Tokens> tokens, bool is_json, const xgrammar::CompiledGrammar& grammar)
      : tokens_(std::move(tokens)), allowed_(is_json ? tokens_->json : tokens_->any), matcher_(grammar) {}

  void allowed_next(engine::TokenMask& mask) override {
    OCTET_CHECK(mask.size() == allowed_.all.size());
    auto size = static_cast<std::int64_t>(mask.size());
    DLTensor tensor = {.data = mask.data(),
                       .device = {kDLCPU, 0},
                       .ndim = 1,
                       .dtype = xgrammar::GetBitmaskDLType(),
                       .shape = &size,
                       .strides = nullptr,
                       .byte_offset = 0};
    limited([&] { return matcher_.FillNextTokenBitmask(&tensor); });
    const engine::TokenMask& known = begun_ ? allowed_.all : allowed_.first;
    std::uint32_t any = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) any |= mask[i] &= known[i];
    if (any == 0)
      throw Error(ErrorCode::internal, "no token of the vocabulary goes on as the form of the answer asks",
                  "structured_outputs");
  }

  bool accept(std::int32_t token) override {
    OCTET_CHECK(limited([&] { return matcher_.AcceptToken(token); }));
    begun_ = true;
    return !matcher_.IsTerminated();
  }

 private:
  template <typename Work>
  bool limited(const Work& work) {
    try {
      const TimeLimit limit(kMostTokenSeconds);
      return work();
    } catch (const TimeIsUp&) {
      throw Error(ErrorCode::internal,
                  "the form of the answer took more than " +
                      std::to_string(static_cast<int>(kMostTokenSeconds * 1e3)) + " ms at one token",
                  "structured_outputs");
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      throw Error(ErrorCode::internal, error.what(), "structured_outputs");
    }
  }

  std::shared_ptr<const Tokens> tokens_;
  const AllowedTokens& allowed_;
  xgrammar::GrammarMatcher matcher_;
  bool begun_ = false;
};

class CompiledForm final : public engine::TokenGrammar {
 public:
  CompiledForm(std::shared_ptr<const Tokens> tokens, bool is_json, xgrammar::CompiledGrammar grammar)
      : tokens_(std::move(tokens)), is_json_(is_json), grammar_(std::move(grammar)) {}

  std::unique_ptr<engine::TokenMatcher> start() const override {
    return std::make_unique<Matcher>(tokens_, is_json_, grammar_);
  }

 private:
  std::shared_ptr<const Tokens> tokens_;
  bool is_json_;
  xgrammar::CompiledGrammar grammar_;
};

}  // namespace

struct GrammarCompiler::Impl {
  using Grammar = std::shared_ptr<const engine::TokenGrammar>;

  explicit Impl(std::function<Vocabulary()> read) : read_vocabulary(std::move(read)) {}

  Grammar compile(const AnswerForm& form);

  // The grammar of `key`, or null.
  Grammar find(const std::string& key) {
    const std::scoped_lock lock(mutex);
    const auto known =
        std::find_if(compiled.begin(), compiled.end(), [&](const auto& each) { return each.first == key; });
    if (known == compiled.end()) return nullptr;
    compiled.splice(compiled.begin(), compiled, known);
    return compiled.front().second;
  }

  std::mutex mutex;                                     // of the list
  std::list<std::pair<std::string, Grammar>> compiled;  // the latest used first, by kind and text
  std::mutex compiling;                                 // of all below
  std::function<Vocabulary()> read_vocabulary;
  std::shared_ptr<const Tokens> tokens;
  std::optional<xgrammar::GrammarCompiler> compiler;
};

GrammarCompiler::Impl::Grammar GrammarCompiler::Impl::compile(const AnswerForm& form) {
  if (!tokens) {
    tokens = std::make_shared<const Tokens>(read_vocabulary());
    compiler.emplace(tokens->info, /*max_threads=*/1, /*cache_enabled=*/false);
  }
  std::string warned;
  Grammar made;
  try {
    const WarningsTo warnings(warned);
    const TimeLimit limit(kMostCompileSeconds);
    const bool is_json = form.kind == FormKind::json_schema || form.kind == FormKind::json_object;
    auto grammar = std::make_shared<CompiledForm>(tokens, is_json, compiler->CompileGrammar(parse(form)));
    if (warned.empty()) made = std::move(grammar);
  } catch (const TimeIsUp&) {
    refuse(form.field, "too complex: it takes more than " +
                           std::to_string(static_cast<int>(kMostCompileSeconds)) + " s to compile");
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    refuse(form.field, error.what());
  }
  if (!made) refuse(form.field, "not enforced as a whole, so it is refused: " + warned);
  try {
    engine::TokenMask mask(tokens->any.all.size());
    made->start()->allowed_next(mask);
  } catch (const Error& error) {  // no text has this form, such as a schema that only refers to itself
    refuse(form.field, error.message());
  }
  return made;
}

GrammarCompiler::GrammarCompiler(std::function<Vocabulary()> read_vocabulary)
    : impl_(std::make_unique<Impl>(std::move(read_vocabulary))) {}
GrammarCompiler::~GrammarCompiler() = default;

std::shared_ptr<const engine::TokenGrammar> GrammarCompiler::compile(const AnswerForm& form) {
  check(form);
  std::string key = std::to_string(static_cast<int>(form.kind)) + form.text;
  for (const std::string& choice : form.choices) key += quoted(choice);
  if (Impl::Grammar known = impl_->find(key)) return known;
  const std::scoped_lock one_at_a_time(impl_->compiling);
  if (Impl::Grammar known = impl_->find(key)) return known;  // somebody else waited for the same
  Impl::Grammar grammar = impl_->compile(form);
  const std::scoped_lock lock(impl_->mutex);
  impl_->compiled.emplace_front(std::move(key), grammar);
  if (impl_->compiled.size() > kKeptGrammars) impl_->compiled.pop_back();
  return grammar;
}

}  // namespace octet::grammar

// What the library does where it would print or abort (XGRAMMAR_LOG_CUSTOMIZE).
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string&, int, const std::string& message);
void LogMessageImpl(const std::string&, int, int, const std::string& message);

void LogFatalImpl(const std::string&, int, const std::string& message) { throw XGrammarError(message); }

void LogMessageImpl(const std::string&, int, int, const std::string& message) {
  if (octet::grammar::warning != nullptr && octet::grammar::warning->empty())
    *octet::grammar::warning = message;
}

}  // namespace xgrammar
