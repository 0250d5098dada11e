#include "text/detokenizer.h"

#include <utility>

#include "base/error.h"
#include "text/decoder.h"
#include "text/tokenizer_parts.h"

namespace octet::text {

struct Detokenizer::State {
  Tokenizer tokenizer;  // keeps alive the decoder, to which the stream refers
  bool skip_special_tokens;
  Decoder::Stream stream;
};

Detokenizer::Detokenizer(Tokenizer tokenizer, bool skip_special_tokens) {
  Decoder::Stream stream = tokenizer.parts().decoder.start();
  state_ = std::make_unique<State>(State{std::move(tokenizer), skip_special_tokens, std::move(stream)});
}

Detokenizer::~Detokenizer() = default;
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer& Detokenizer::operator=(Detokenizer&&) noexcept = default;

std::string Detokenizer::add(std::int32_t id) {
  const TokenizerParts& parts = state_->tokenizer.parts();
  const std::string* token = parts.decoded_token(id);
  if (token == nullptr) {
    throw Error(ErrorCode::invalid_argument, "no token has the id " + std::to_string(id), parts.file);
  }
  if (state_->skip_special_tokens && parts.special_contents.contains(*token)) return {};
  return state_->stream.add(*token);
}

std::string Detokenizer::finish() { return state_->stream.finish(); }

}  // namespace octet::text
