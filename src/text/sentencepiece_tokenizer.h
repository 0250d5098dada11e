// The tokenizer of a checkpoint that has a tokenizer.model and no tokenizer.json, as transformers'
// LlamaTokenizer makes it.
//
// tokenizer_config.json may say: add_bos_token (true where absent), add_eos_token (false), add_prefix_space
// (the model's add_dummy_prefix), added_tokens_decoder, and legacy: false (where absent too) puts the space
// that SentencePiece writes before a text at its beginning only, true behind every added token as well.
#pragma once

#include <memory>
#include <string>

namespace octet::text {

struct TokenizerParts;

// Throws Error: not_found, io, invalid_file, unsupported (a model of words or characters; marks behind words;
// spaces that are not written as marks).
std::shared_ptr<const TokenizerParts> load_sentencepiece_tokenizer(const std::string& directory);

}  // namespace octet::text
