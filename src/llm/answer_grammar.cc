#include "llm/answer_grammar.h"

#include <cstddef>
#include <string>
#include <utility>

#include "base/error.h"

namespace octet::llm {

namespace {

// Whether the decoder leaves out a space in front of the first word, as that of Llama 2 does.
bool drops_first_space(const text::Tokenizer& tokenizer, const std::vector<std::string>& tokens) {
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].size() > 1 && tokens[id][0] == ' ' && tokens[id][1] != ' ')
      return !tokenizer.decode({static_cast<std::int32_t>(id)}, false).starts_with(' ');
  return false;
}

grammar::Vocabulary read_vocabulary(const text::Tokenizer& tokenizer, const EndTokens& end_tokens,
                                    int vocab_size) {
  if (end_tokens.all.empty())
    throw Error(ErrorCode::unsupported,
                "the checkpoint names no token that ends a text, which structured output needs",
                "structured_outputs");
  grammar::Vocabulary vocabulary;
  vocabulary.end_tokens = end_tokens.all;
  vocabulary.tokens.resize(static_cast<std::size_t>(vocab_size));
  for (std::int32_t id = 0; id < vocab_size; ++id)
    if (!tokenizer.is_special(id)) vocabulary.tokens[static_cast<std::size_t>(id)] = tokenizer.token_bytes(id);
  vocabulary.drops_first_space = drops_first_space(tokenizer, vocabulary.tokens);
  return vocabulary;
}

}  // namespace

std::unique_ptr<grammar::GrammarCompiler> make_grammar_compiler(const text::Tokenizer& tokenizer,
                                                                const EndTokens& end_tokens, int vocab_size) {
  return std::make_unique<grammar::GrammarCompiler>(
      [=] { return read_vocabulary(tokenizer, end_tokens, vocab_size); });
}

std::shared_ptr<const engine::TokenGrammar> answer_grammar(grammar::GrammarCompiler& compiler,
                                                           const SamplingParams& params) {
  using grammar::FormKind;
  if (!params.structured_outputs) return nullptr;
  const StructuredOutputsParams& asked = *params.structured_outputs;
  if (asked.json) return compiler.compile({FormKind::json_schema, *asked.json, {}, "structured_outputs.json"});
  if (asked.regex) return compiler.compile({FormKind::regex, *asked.regex, {}, "structured_outputs.regex"});
  if (asked.choice) return compiler.compile({FormKind::choice, {}, *asked.choice, "structured_outputs.choice"});
  return compiler.compile({FormKind::json_object, {}, {}, "structured_outputs.json_object"});
}

}  // namespace octet::llm
