// A GGUF file in the terms of a Hugging Face checkpoint: config.json from its metadata, tensors by the names
// that transformers gives them.
//
// Tensors stay views into the file, quantised as they are, each expert of a mixture also where one tensor holds
// all of them or their gates beside their ups, but for two kinds, which are copied: rows of q_proj and k_proj
// where the file has them in the order of interleaved rotary embedding, and norm gains where the file has added
// one to them. Source: llama.cpp's convert_hf_to_gguf.py, whose steps are undone here; gguf's tables of names.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "files/gguf.h"
#include "files/json_value.h"

namespace octet::files {

struct GgufCheckpoint {
  JsonValue config;                 // as config.json would have it
  std::vector<TensorView> tensors;  // views into the file, or into `copies`
  std::vector<std::unique_ptr<std::byte[]>> copies;
  std::vector<std::string> notices;  // what the file leaves open and how it is taken, a line each
};

// Throws Error: unsupported (an architecture or a value that has no translation, a file of several),
// invalid_file (metadata that is missing or contradicts the tensors); each names the file and the key or
// tensor.
GgufCheckpoint translate_gguf(const GgufContents& contents, const std::string& file);

// The text of that config.json; adds to `notices`. Throws as translate_gguf.
std::string gguf_config_json(const GgufContents& contents, const std::string& file,
                             std::vector<std::string>& notices);

}  // namespace octet::files
