// Writing a safetensors file.
//
// For few and small tensors (scales, a calibration's state): the whole file is put together in memory.
// Source: the safetensors format description (huggingface/safetensors 0.8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "files/checkpoint.h"

namespace octet::files {

// A tensor that owns its bytes: little-endian, row-major, exactly shape * dtype.
struct OwnedTensor {
  std::string name;
  TensorDtype dtype = TensorDtype::F32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;

  // `values` as F32, BF16 or F16, rounded to nearest even. Throws Error{internal} for another dtype or shape.
  static OwnedTensor from_floats(std::string name, TensorDtype dtype, std::vector<std::int64_t> shape,
                                 std::span<const float> values);
};

// The bytes of the file; tensors stand in their order, widest dtype first so that each is aligned.
std::vector<std::byte> safetensors_bytes(std::vector<OwnedTensor> tensors,
                                         const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace octet::files
