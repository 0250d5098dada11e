// A block of activations in the order of a table's gemm.
#pragma once

#include <vector>

#include "kernels/kernel_table.h"

namespace octet::kernels {

// x [num_tokens, cols], stride x_stride.
inline std::vector<float> packed_block(const KernelTable& table, const float* x, int x_stride, int num_tokens,
                                       int cols) {
  std::vector<float> packed(packed_floats(num_tokens, cols));
  for (int token = 0; token < num_tokens; ++token)
    table.pack_activations({x + token * x_stride, cols, packed.data(), token, num_tokens});
  return packed;
}

}  // namespace octet::kernels
