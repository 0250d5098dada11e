// Quantised weights by definition: each number by itself, sums in double.
#include <cmath>

#include "kernels/reference.h"
#include "numeric/fp8.h"
#include "numeric/weight_blocks.h"

namespace octet::kernels::reference {

namespace {

float group_code(const std::byte* row, WeightFormat format, int col) {
  const auto byte = [&](int index) { return std::to_integer<std::uint8_t>(row[index]); };
  switch (format) {
    case WeightFormat::uint4_groups:
      return static_cast<float>((byte(col / 2) >> (col % 2 * 4)) & 15);
    case WeightFormat::uint8_groups:
      return static_cast<float>(byte(col));
    case WeightFormat::int8_groups:
      return static_cast<float>(static_cast<std::int8_t>(byte(col)));
    default:
      return fp8_e4m3{byte(col)}.to_float();
  }
}

}  // namespace

float quantized_number(const QuantizedMatrix& matrix, int row, int col) noexcept {
  const std::byte* codes = matrix.codes + row * weight_row_bytes(matrix.format, matrix.cols);
  if (is_block_format(matrix.format)) {
    const int elements = block_elements(matrix.format);
    return block_number(matrix.format,
                        codes + static_cast<std::int64_t>(col / elements) * block_bytes(matrix.format),
                        col % elements);
  }
  const int groups = (matrix.cols + matrix.group_cols - 1) / matrix.group_cols;
  const std::int64_t group =
      static_cast<std::int64_t>(row / matrix.group_rows) * groups + col / matrix.group_cols;
  return std::fma(group_code(codes, matrix.format, col), matrix.scales[group],
                  matrix.offsets == nullptr ? 0.0f : matrix.offsets[group]);
}

void dequantize(const DequantizeArgs& args) noexcept {
  float* out = args.out;
  for (int row = args.row_begin; row < args.row_end; ++row)
    for (int col = 0; col < args.matrix.cols; ++col) *out++ = quantized_number(args.matrix, row, col);
}

void gemv_quantized(const QuantizedGemvArgs& args) noexcept {
  for (int row = args.row_begin; row < args.row_end; ++row) {
    dequantize({args.matrix, row, row + 1, args.scratch});
    for (int m = 0; m < args.num_tokens; ++m) {
      const float* x = args.x + m * args.x_stride;
      double sum = 0.0;
      for (int col = 0; col < args.matrix.cols; ++col)
        sum += static_cast<double>(args.scratch[col]) * static_cast<double>(x[col]);
      args.y[m * args.y_stride + row] = static_cast<float>(sum);
    }
  }
}

}  // namespace octet::kernels::reference
