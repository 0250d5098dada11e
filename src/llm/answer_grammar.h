// From the form that a caller asks for to the grammar that the engine holds an answer to.
#pragma once

#include <octet/sampling_params.h>

#include <memory>

#include "engine/token_grammar.h"
#include "grammar/grammar_compiler.h"
#include "llm/generation_config.h"
#include "text/tokenizer.h"

namespace octet::llm {

// For a model whose logits have `vocab_size` rows. Reads the tokens when the first form is compiled, which
// throws Error{unsupported} where no token ends a text.
std::unique_ptr<grammar::GrammarCompiler> make_grammar_compiler(const text::Tokenizer& tokenizer,
                                                                const EndTokens& end_tokens, int vocab_size);

// Of params.structured_outputs, compiled on the caller's thread; null where nothing is asked for. Throws Error
// as GrammarCompiler::compile, naming structured_outputs.json and so on.
std::shared_ptr<const engine::TokenGrammar> answer_grammar(grammar::GrammarCompiler& compiler,
                                                           const SamplingParams& params);

}  // namespace octet::llm
