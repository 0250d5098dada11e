// An observer's arrays as tensors of a state file, and back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "files/safetensors_writer.h"

namespace octet::calibrate {

files::OwnedTensor state_tensor(std::string name, std::span<const float> values);
files::OwnedTensor state_tensor(std::string name, std::span<const std::uint64_t> values);

// Fills `values` from the tensor `name`. Throws Error{invalid_file} naming it where it is missing, of another
// dtype, or not of this size.
void restore_tensor(std::span<const files::TensorView> state, const std::string& name, std::span<float> values);
void restore_tensor(std::span<const files::TensorView> state, const std::string& name,
                    std::span<std::uint64_t> values);

}  // namespace octet::calibrate
