// The tokenizer that a GGUF file's metadata describes (tokenizer.ggml.*, tokenizer.chat_template).
//
// The kinds are "llama" (SentencePiece pieces with scores) and "gpt2" (byte-level BPE, whose division into
// words has a name, tokenizer.ggml.pre). Where llama.cpp and the checkpoint's own tokenizer.json differ, the
// latter is followed: Qwen's text is NFC-normalized, for one. Added tokens of type "control" are special; all
// added tokens are found in the text before it is normalized.
#pragma once

#include <memory>
#include <string>

namespace octet::text {

struct TokenizerParts;

// Throws Error: as files::GgufFile::open; unsupported (another kind, another division into words, all named);
// invalid_file naming the key (missing, another length than the tokens, an id outside).
std::shared_ptr<const TokenizerParts> load_gguf_tokenizer(const std::string& path);

}  // namespace octet::text
