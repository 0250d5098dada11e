// Reading a safetensors file: its header, checked completely, and views of its tensors.
//
// docs/safetensors.md lists every check. Nothing is copied; tensor bytes are not looked at.
// Source: the safetensors format description (huggingface/safetensors 0.8).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "files/checkpoint.h"

namespace octet::files {

struct Safetensors {
  std::vector<TensorView> tensors;                            // in the order of their data
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__, in file order
};

// Reads a whole safetensors file; `bytes` must outlive the views, and `file` is its path, for errors.
// A view's data may stand at any alignment, as the format allows it.
// Throws Error: invalid_file (short, lying, overlapping, overflowing, with holes), unsupported (a dtype that
// Octet has no name for); both name the file and the tensor.
Safetensors read_safetensors(std::span<const std::byte> bytes, const std::string& file);

}  // namespace octet::files
