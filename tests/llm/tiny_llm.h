// A tiny random checkpoint that an LLM can load: weights, a byte-level tokenizer and a chat template.
//
// Token b is the byte b; behind the bytes stand <|end|>, <|user|>, <|assistant|> and a few merged pairs, so
// that text, tokens and UTF-8 characters all have different borders. The weights are random, so sampled
// text is a storm of broken UTF-8: just what the detokenizing must survive.
#pragma once

#include <octet/llm.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "model/tiny_checkpoint.h"

namespace octet::tests {

inline constexpr std::int32_t kEndToken = 256;
inline constexpr std::int32_t kUserToken = 257;
inline constexpr std::int32_t kAssistantToken = 258;
inline constexpr int kTinyVocabSize = 264;

// A folder that goes when the test ends.
class ScratchFolder {
 public:
  ScratchFolder() {
    static std::atomic<int> count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("octet-test-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The printable stand-in of a byte in byte-level vocabularies, as UTF-8: the byte itself where it is
// printable Latin-1, else the next unused character from U+0100 on.
inline std::string byte_level_character(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

inline std::string tiny_tokenizer_json() {
  constexpr std::array<std::array<char, 2>, 5> kMerges = {
      {{'h', 'e'}, {'i', 'n'}, {'o', 'n'}, {'e', 'r'}, {'a', 't'}}};
  std::string vocab, merges;
  const auto entry = [&](const std::string& token, int id) {
    vocab += (vocab.empty() ? "\"" : ",\"");
    vocab += (token == "\"" || token == "\\" ? "\\" + token : token) + "\":" + std::to_string(id);
  };
  for (int byte = 0; byte < 256; ++byte) entry(byte_level_character(byte), byte);
  int id = kAssistantToken + 1;
  for (const auto& [first, second] : kMerges) {
    entry(std::string{first, second}, id++);
    merges += std::string(merges.empty() ? "" : ",") + "\"" + first + " " + second + "\"";
  }
  std::string added;
  const std::pair<const char*, int> specials[] = {
      {"<|end|>", kEndToken}, {"<|user|>", kUserToken}, {"<|assistant|>", kAssistantToken}};
  for (const auto& [content, special_id] : specials)
    added += std::string(added.empty() ? "" : ",") + R"({"id":)" + std::to_string(special_id) +
             R"(,"content":")" + content +
             R"(","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true})";
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[)" + added +
         R"(],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,)"
         R"("trim_offsets":true,"use_regex":true},"post_processor":null,)"
         R"("decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},)"
         R"("model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,)"
         R"("end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{)" +
         vocab + R"(},"merges":[)" + merges + "]}}";
}

inline constexpr const char* kTinyChatTemplate =
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

// Writes the whole checkpoint into `dir` and returns its path. `o.vocab_size` is set here.
inline std::string write_tiny_llm(const std::filesystem::path& dir, TinyOptions o = {}) {
  o.vocab_size = kTinyVocabSize;
  const std::string path = write_tiny_llama(dir, o);
  tiny::write_file(dir / "tokenizer.json", tiny_tokenizer_json());
  tiny::write_file(dir / "tokenizer_config.json",
                   std::string(R"({"eos_token":"<|end|>","chat_template":")") + kTinyChatTemplate + "\"}");
  tiny::write_file(dir / "generation_config.json", R"({"eos_token_id":256})");
  return path;
}

// One tiny LLM for a test: the checkpoint lives as long as the LLM.
struct TinyLlm {
  ScratchFolder folder;
  LLM llm;

  explicit TinyLlm(LLMOptions options = {}, const TinyOptions& tiny = {})
      : llm(with_model(std::move(options), write_tiny_llm(folder.path(), tiny))) {}

 private:
  static LLMOptions with_model(LLMOptions options, const std::string& model) {
    options.model = model;
    options.threads = options.threads == 0 ? 2 : options.threads;
    return options;
  }
};

// The one Error that `action` throws: a test fails where there is none.
template <typename Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  throw std::runtime_error("expected an octet::Error, but nothing was thrown");
}

}  // namespace octet::tests
