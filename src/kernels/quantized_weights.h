// Linear layers over quantised weights: the matrix as it lies in memory, and the arguments of its kernels.
//
// A kernel dequantises in registers. Its numbers are those of numeric/weight_blocks.h, exactly, and it adds
// them up in the order of gemv over float32 weights: the result is that of the dequantised matrix, to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "numeric/weight_format.h"

namespace octet::kernels {

// [rows, cols], rows of weight_row_bytes(format, cols) one after the other, at any alignment. Nothing is owned.
struct QuantizedMatrix {
  const std::byte* codes;
  WeightFormat format;
  int cols;  // a multiple of block_elements(format)
  // Of formats with groups alone: number = code * scale + offset, each of [ceil(rows / group_rows),
  // ceil(cols / group_cols)], group_cols a multiple of 32 (or at least cols).
  const float* scales;
  const float* offsets;  // or null: none
  int group_rows;
  int group_cols;
};

// Rows that are dequantised together, where a kernel does so into its scratch.
inline constexpr int kQuantizedRows = 4;

// As GemvArgs. y[m, r] for m in [0, num_tokens), r in [row_begin, row_end).
struct QuantizedGemvArgs {
  QuantizedMatrix matrix;
  int row_begin;
  int row_end;
  const float* x;  // [num_tokens, cols], stride x_stride
  std::int64_t x_stride;
  float* y;  // [num_tokens, rows], stride y_stride; y[m * y_stride + r] is written
  std::int64_t y_stride;
  int num_tokens;
  float* scratch;  // kQuantizedRows * cols floats
};

// out [row_end - row_begin, cols] = the numbers of these rows.
struct DequantizeArgs {
  QuantizedMatrix matrix;
  int row_begin;
  int row_end;
  float* out;
};

}  // namespace octet::kernels
