#include "model/linear.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/huge_memory.h"
#include "kernels/reference.h"
#include "numeric/fp8.h"

namespace octet::model {

namespace {

// On huge pages where a matrix is large enough for them.
std::shared_ptr<std::byte> allocate_codes(std::size_t bytes, const std::string& name) {
  constexpr std::size_t kLarge = std::size_t{8} << 20;
  if (bytes < kLarge) {
    const auto array = std::make_shared<std::vector<std::byte>>(bytes);
    return {array, array->data()};
  }
  const auto memory = std::make_shared<HugeMemory>(bytes);
  if (memory->data() == nullptr)
    throw Error(ErrorCode::out_of_memory, "cannot allocate " + std::to_string(bytes) + " bytes", name);
  return {memory, memory->data()};
}

}  // namespace

kernels::QuantizedMatrix Linear::quantized() const {
  OCTET_CHECK(format.has_value());
  kernels::QuantizedMatrix matrix{
      static_cast<const std::byte*>(weight), *format, cols, nullptr, nullptr, 1, cols};
  if (groups == nullptr) return matrix;
  matrix.scales = groups->scales.data();
  matrix.offsets = groups->offsets.empty() ? nullptr : groups->offsets.data();
  matrix.group_rows = groups->group_rows;
  matrix.group_cols = groups->group_cols;
  return matrix;
}

std::int64_t Linear::row_bytes() const {
  return format ? weight_row_bytes(*format, cols) : cols * static_cast<std::int64_t>(dtype_bytes(dtype));
}

std::int64_t Linear::weight_bytes() const {
  const std::size_t scales = groups ? groups->scales.size() + groups->offsets.size() : 0;
  return rows * row_bytes() + static_cast<std::int64_t>(scales * sizeof(float));
}

Linear take_rows(const Linear& linear, int begin, int rows) {
  OCTET_CHECK(begin >= 0 && rows >= 0 && begin + rows <= linear.rows);
  Linear slice = linear;
  slice.rows = rows;
  slice.weight = static_cast<const std::byte*>(linear.weight) + begin * linear.row_bytes();
  const auto cut = [](std::vector<float>& values, std::int64_t first, std::int64_t count) {
    if (!values.empty())
      values = {values.begin() + static_cast<std::ptrdiff_t>(first),
                values.begin() + static_cast<std::ptrdiff_t>(first + count)};
  };
  cut(slice.bias, begin, rows);
  if (linear.groups == nullptr || linear.groups->group_rows >= linear.rows) return slice;
  GroupScales groups = *linear.groups;
  if (begin % groups.group_rows != 0)
    throw Error(ErrorCode::unsupported, "rows from " + std::to_string(begin) + " cut a group of " +
                                            std::to_string(groups.group_rows) + " rows that share a scale");
  const std::int64_t across = (linear.cols + groups.group_cols - 1) / groups.group_cols;
  const std::int64_t first = begin / groups.group_rows * across;
  const std::int64_t count = (rows + groups.group_rows - 1) / groups.group_rows * across;
  cut(groups.scales, first, count);
  cut(groups.offsets, first, count);
  slice.groups = std::make_shared<const GroupScales>(std::move(groups));
  return slice;
}

void read_linear_row(const kernels::KernelTable& table, const Linear& linear, int row, float* out) {
  if (linear.format) return table.dequantize({linear.quantized(), row, row + 1, out});
  const std::byte* weights = static_cast<const std::byte*>(linear.weight) + row * linear.row_bytes();
  table.to_float(out, weights, linear.dtype, linear.cols);
}

void read_linear_row(const Linear& linear, int row, float* out) {
  read_linear_row(kernels::reference_table(), linear, row, out);
}

Linear quantize_linear(const Linear& linear, Quantization quantization, const std::string& name,
                       ThreadPool& pool) {
  if (quantization == Quantization::none || linear.format || linear.cols % 32 != 0) return linear;
  const bool fp8 = quantization == Quantization::fp8;
  const auto rows = static_cast<std::size_t>(linear.rows), cols = static_cast<std::size_t>(linear.cols);
  const std::shared_ptr<std::byte> codes = allocate_codes(rows * cols, name);
  GroupScales groups{std::vector<float>(rows), {}, 1, linear.cols};
  std::vector<std::vector<float>> numbers(static_cast<std::size_t>(pool.num_threads()),
                                          std::vector<float>(cols));
  pool.run(rows, [&](std::size_t row, int thread) {
    std::vector<float>& values = numbers[static_cast<std::size_t>(thread)];
    read_linear_row(linear, static_cast<int>(row), values.data());
    float largest = 0.0f;
    for (const float value : values)
      largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : INFINITY;
    // A row of zeros has any scale; one so small that its scale would be denormal is zeros for every purpose.
    const float scale = std::max(largest / (fp8 ? fp8_e4m3::max : 127.0f), 0x1p-100f);
    groups.scales[row] = scale;
    if (!std::isfinite(scale)) return;  // refused below
    std::byte* out = codes.get() + row * cols;
    for (std::size_t i = 0; i < cols; ++i)
      out[i] = fp8 ? std::byte{fp8_e4m3::from_float(values[i] / scale).bits}
                   : static_cast<std::byte>(static_cast<std::int8_t>(std::nearbyint(values[i] / scale)));
  });
  for (std::size_t row = 0; row < rows; ++row)
    if (!std::isfinite(groups.scales[row]))
      throw Error(ErrorCode::invalid_file, "row " + std::to_string(row) + " holds a weight that is not finite",
                  name);
  Linear quantized = linear;
  quantized.weight = codes.get();
  quantized.format = fp8 ? WeightFormat::fp8_groups : WeightFormat::int8_groups;
  quantized.groups = std::make_shared<const GroupScales>(std::move(groups));
  quantized.owned = codes;
  return quantized;
}

}  // namespace octet::model
