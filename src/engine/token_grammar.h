// TokenGrammar: which tokens an answer may go on with, for requests whose answers have a form.
//
// The engine asks a matcher before each token of an answer and tells it the token; what the form is, and how
// tokens spell it, is its maker's business (src/grammar). A grammar is immutable and thread-safe; a matcher
// belongs to one answer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace octet::engine {

// A bit for each token, the lowest of the first word for token 0: [ceil(vocab / 32)].
using TokenMask = std::vector<std::uint32_t>;

constexpr bool is_allowed(const TokenMask& mask, std::int32_t id) {
  return (mask[static_cast<std::size_t>(id) / 32] >> (static_cast<std::uint32_t>(id) % 32) & 1u) != 0;
}

class TokenMatcher {
 public:
  virtual ~TokenMatcher() = default;

  // Sets the bits of the tokens that may come next; those that end a sequence are among them exactly where the
  // answer may end. `mask` has the size of the vocabulary. Throws Error{internal} where nothing may come next.
  virtual void allowed_next(TokenMask& mask) = 0;
  // Goes on with `token`, which was allowed. False where it ended the answer.
  virtual bool accept(std::int32_t token) = 0;
};

class TokenGrammar {
 public:
  virtual ~TokenGrammar() = default;
  // A matcher at the beginning of an answer. May be called from any thread.
  virtual std::unique_ptr<TokenMatcher> start() const = 0;
};

}  // namespace octet::engine
