// Linear layers of many tokens whose activations are put into the order of the kernel first: the arguments of
// those kernels.
//
// A table that has them gives the bits that its gemv and gemv_quantized give.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantized_weights.h"
#include "numeric/dtype.h"

namespace octet::kernels {

// Tokens of a block: with fewer, panels of weights cost more than they save; with more, sums and activations lie
// too far away.
inline constexpr int kGemmLeastTokens = 32, kGemmMostTokens = 256;

// Puts one token of a block of num_tokens in its places of `packed`, whose order is the table's own.
struct PackActivationsArgs {
  const float* x;  // [cols]
  int cols;
  float* packed;  // packed_floats(num_tokens, cols) floats, of the whole block
  int token;      // 0 <= token < num_tokens
  int num_tokens;
};
constexpr std::size_t packed_floats(int num_tokens, int cols) {
  return static_cast<std::size_t>(num_tokens) * ((static_cast<std::size_t>(cols) + 7) / 8 * 8);
}

// y[m, r] = sum over c of x[m, c] * weight[r, c], for m in [0, num_tokens), r in [row_begin, row_end).
struct GemmArgs {
  const void* weight;  // [rows, cols] in weight_dtype, row-major, at least 2-byte aligned (1 for FP8)
  Dtype weight_dtype;
  int cols;
  int row_begin;
  int row_end;
  const float* packed;  // of this block of tokens, see above
  float* y;             // [num_tokens, rows], stride y_stride; y[m * y_stride + r] is written
  std::int64_t y_stride;
  int num_tokens;
  float* scratch;  // gemm_scratch_floats(num_tokens, cols) floats
};
struct QuantizedGemmArgs {
  QuantizedMatrix matrix;
  int row_begin;
  int row_end;
  const float* packed;
  float* y;
  std::int64_t y_stride;
  int num_tokens;
  float* scratch;  // the same
};

}  // namespace octet::kernels
