// GrammarCompiler: from the form that an answer must have to the engine's TokenGrammar for one model's tokens.
//
// The library behind it, XGrammar, stays inside one file. A form can be hostile, and so neither what it costs
// to compile nor what it costs at each token is left to it: sizes are limited (grammar/json_schema.h,
// regex_size.h), and so is the processor time of a compilation and of each token's mask. Thread-safe; one form
// is compiled at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/token_grammar.h"

namespace octet::grammar {

inline constexpr double kMostCompileSeconds = 5.0;  // of processor time, then the form is refused
inline constexpr double kMostTokenSeconds = 0.05;   // then the answer ends with an error

// What the tokens of a model spell.
struct Vocabulary {
  std::vector<std::string> tokens;  // bytes by id; empty for what no text may hold: special tokens, unused rows
  std::vector<std::int32_t> end_tokens;  // end a sequence; not empty
  bool drops_first_space = false;        // whether a space at the very beginning is not part of the text
};

enum class FormKind { json_schema, json_object, regex, choice };

// What an answer must be.
struct AnswerForm {
  FormKind kind;
  std::string text = {};  // the JSON schema, or the regular expression, which all of it must match
  std::vector<std::string> choices = {};
  std::string field = {};  // for errors: what the caller calls this
};

class GrammarCompiler {
 public:
  // `read_vocabulary` is called once, when the first form is compiled; what it throws comes out of compile().
  explicit GrammarCompiler(std::function<Vocabulary()> read_vocabulary);
  ~GrammarCompiler();

  // Compiles on the caller's thread, or finds what was compiled before: the last 32 forms are kept. Throws
  // Error{invalid_argument} naming the field, or the path in a schema: as check_json_schema, an expression that
  // is not supported (assertions, back references) or larger than kMostRegexSize, no or more than 1,024 choices
  // or 64 KiB of them, and a form that takes more than kMostCompileSeconds. Error{unsupported} where Octet was
  // built without structured output.
  std::shared_ptr<const engine::TokenGrammar> compile(const AnswerForm& form);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::grammar
