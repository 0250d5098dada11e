// The tiny checkpoints of tests/data/tiny, with a tokenizer, so that an LLM can load them.
#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "llm/tiny_llm.h"

namespace octet::tests {

inline constexpr std::array kTinyFamilies = {"llama",      "llama3", "mistral",   "qwen2",
                                             "qwen2_yarn", "qwen3",  "qwen3_moe", "mixtral",
                                             "gemma2",     "gemma3", "phi3",      "smollm3"};

// Writes the checkpoint of a family into dir/family and returns its path. Its 256 tokens are bytes.
inline std::string write_tiny_family(const std::filesystem::path& dir, const std::string& family) {
  const std::filesystem::path source = std::filesystem::path(OCTET_SOURCE_DIR "/tests/data/tiny") / family;
  const std::filesystem::path path = dir / family;
  std::filesystem::create_directories(path);
  for (const char* file : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(source / file, path / file);
  tiny::write_file(path / "tokenizer.json", tiny_tokenizer_json());
  return path.string();
}

}  // namespace octet::tests
