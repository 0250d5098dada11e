// Tokenizer: text to token ids and back, as a Hugging Face tokenizer.json (BPE or Unigram), a SentencePiece
// tokenizer.model or a GGUF file's metadata say.
//
// Pre-tokenizer, normalizer, added tokens, post-processor and decoder are run as the file states them;
// anything not supported is an Error when the file is loaded, never a silent difference. Of a member, token or
// merge that stands there twice the last counts, as for that package. Immutable and thread-safe after loading.
// Source: huggingface/tokenizers 0.23, whose results the tests compare.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet::text {

struct TokenizerParts;

// Cheap to copy: copies share what was loaded.
class Tokenizer {
 public:
  // Reads what the directory `path` has, the first of tokenizer.json, tokenizer.model and its one GGUF file,
  // and with the former two, where present, tokenizer_config.json (bos_token, eos_token, chat_template; also
  // chat_template.jinja beside it, which wins). `path` may be a GGUF file too.
  // Throws Error: not_found, invalid_file, unsupported (naming the construct).
  static Tokenizer load(const std::string& path);
  // From the text of a tokenizer.json alone; `file` is used in errors.
  static Tokenizer parse(std::string_view json, std::string file);

  // Throws Error{invalid_argument} naming the byte offset where `text` is not valid UTF-8.
  // add_special_tokens runs the post-processor (TemplateProcessing adds BOS and the like).
  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens = true) const;

  // Unknown ids throw Error{invalid_argument}. Invalid UTF-8 in the bytes becomes U+FFFD as in Rust's lossy
  // decoding.
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special_tokens) const;
  // The raw bytes that one token stands for in the byte-level alphabet (an added token: its content);
  // byte fallback's <0x0A> is one byte; empty for an id that has no token.
  std::string token_bytes(std::int32_t id) const;
  bool is_special(std::int32_t id) const;  // an added token with "special": true

  std::optional<std::int32_t> token_to_id(std::string_view token) const;
  std::string id_to_token(std::int32_t id) const;  // empty for an id that has no token
  int vocab_size() const;                          // the largest id + 1, added tokens included

  // From tokenizer_config.json; empty where absent.
  const std::string& bos_token() const;
  const std::string& eos_token() const;
  const std::string& unk_token() const;
  const std::string& pad_token() const;
  const std::string& chat_template() const;       // source text, empty where the checkpoint has none
  const std::string& chat_template_file() const;  // for errors

  // For the text room's own use.
  const TokenizerParts& parts() const { return *parts_; }

 private:
  explicit Tokenizer(std::shared_ptr<const TokenizerParts> parts);
  std::shared_ptr<const TokenizerParts> parts_;
};

}  // namespace octet::text
