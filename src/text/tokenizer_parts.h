// What a Tokenizer is made of; for the text room alone.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_set>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_config.h"
#include "text/word_cache.h"

namespace octet::text {

struct TokenizerParts {
  std::string file;  // for errors
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  AddedTokens added;
  std::unordered_set<std::string> special_contents;  // of the added tokens with "special": true
  PostProcessor post_processor;
  Decoder decoder;
  TokenizerConfig config;

  // Shared by all encode() calls; whoever finds it taken does without.
  mutable std::mutex cache_mutex;
  mutable WordCache cache;

  // The text of a token as the decoder gets it; null where the id has none.
  const std::string* decoded_token(std::int32_t id) const {
    const AddedToken* token = added.find(id);
    return token != nullptr ? &token->normalized_content : bpe.token(id);
  }
};

}  // namespace octet::text
