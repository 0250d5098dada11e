// What a Tokenizer is made of; for the text room alone.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/token_model.h"
#include "text/tokenizer_config.h"
#include "text/word_cache.h"

namespace octet::text {

struct TokenizerParts {
  std::string file;  // for errors
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const TokenModel> model;
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
    return token != nullptr ? &token->normalized_content : model->token(id);
  }
};

// Reads all that a tokenizer.json's members say; where parts.model is there already, "model" is not read.
void read_parts(const JsonField& root, TokenizerParts& parts);

}  // namespace octet::text
