// TokenizerConfig: what a checkpoint's tokenizer_config.json and chat_template.jinja say.
#pragma once

#include <string>

namespace octet::text {

// Empty strings where absent.
struct TokenizerConfig {
  std::string bos_token;
  std::string eos_token;
  std::string unk_token;
  std::string pad_token;
  std::string chat_template;       // source text
  std::string chat_template_file;  // the file it came from, for errors

  // Throws Error: invalid_file, io. A directory without these files gives an empty config.
  static TokenizerConfig load(const std::string& directory);
};

// The whole file. Throws Error: not_found, io, invalid_file (larger than 256 MiB).
std::string read_text_file(const std::string& path);

}  // namespace octet::text
