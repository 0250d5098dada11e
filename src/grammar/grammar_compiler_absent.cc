// What stands for grammar_compiler.cc where Octet is built without XGrammar (OCTET_STRUCTURED_OUTPUTS=OFF).
#include "base/error.h"
#include "grammar/grammar_compiler.h"

namespace octet::grammar {

struct GrammarCompiler::Impl {};

GrammarCompiler::GrammarCompiler(std::function<Vocabulary()>) {}
GrammarCompiler::~GrammarCompiler() = default;

std::shared_ptr<const engine::TokenGrammar> GrammarCompiler::compile(const AnswerForm& form) {
  throw Error(ErrorCode::unsupported,
              "this Octet was built without structured output (OCTET_STRUCTURED_OUTPUTS)", form.field);
}

}  // namespace octet::grammar
