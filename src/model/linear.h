// Linear: the weights of one linear layer, as they are stored; and how they are found in a checkpoint.
//
// Weights are views into the checkpoint's memory, or owned where they were quantised at load. A Linear is cheap
// to copy and read-only. Matrices are [out, in], as files store them; biases are small and copied to float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "files/checkpoint.h"
#include "kernels/kernel_table.h"
#include "kernels/quantized_weights.h"
#include "numeric/dtype.h"

namespace octet::model {

// Scales of a WeightFormat with groups: number = code * scale + offset.
struct GroupScales {
  std::vector<float> scales;   // [ceil(rows / group_rows), ceil(cols / group_cols)]
  std::vector<float> offsets;  // the same shape, or empty: none
  int group_rows = 1;
  int group_cols = 0;
};

// y = x W^T + bias.
struct Linear {
  const void* weight = nullptr;  // [rows, cols] in dtype, or in `format`
  Dtype dtype = Dtype::bfloat16;
  int rows = 0;                                    // output features
  int cols = 0;                                    // input features
  std::vector<float> bias;                         // [rows], or empty
  std::optional<WeightFormat> format = {};         // of quantised weights: then dtype says nothing
  std::shared_ptr<const GroupScales> groups = {};  // of a format with groups
  std::shared_ptr<const void> owned = {};          // the codes, where no file holds them

  // What the kernels of quantised weights take; only where there is a format.
  kernels::QuantizedMatrix quantized() const;
  std::int64_t row_bytes() const;     // of a row's numbers or codes
  std::int64_t weight_bytes() const;  // of codes and scales
};

// The tensor NAME.weight of shape [rows, cols] (and NAME.bias [rows] where `has_bias`), or in its place the
// tensors that hold quantised weights:
//   compressed-tensors  NAME.weight F8_E4M3 or I8 with NAME.weight_scale; NAME.weight_packed I32 with
//                       NAME.weight_scale, NAME.weight_shape and NAME.weight_zero_point
//   ModelOpt, AutoFP8   NAME.weight F8_E4M3 with NAME.weight_scale
//   DeepSeek            NAME.weight F8_E4M3 with NAME.weight_scale_inv, one for a block
//   GGUF                NAME.weight in blocks
// Throws Error{invalid_file} naming the tensor: missing, of another shape, a scale that is not finite;
// Error{unsupported}: its dtype.
Linear take_linear(const files::Checkpoint& checkpoint, const std::string& name, int rows, int cols,
                   bool has_bias);

// Rows [begin, begin + rows) as a layer of their own. Throws Error{unsupported} where a group of scales would
// be cut.
Linear take_rows(const Linear& linear, int begin, int rows);

// out [cols] = row `row` as floats, by the kernels of `table` or by the reference: the same numbers.
void read_linear_row(const kernels::KernelTable& table, const Linear& linear, int row, float* out);
void read_linear_row(const Linear& linear, int row, float* out);

// How weights are quantised at load, as --quantization spells it.
enum class Quantization { none, fp8, int8 };

// What that came to.
struct QuantizedLayers {
  int count = 0;            // of linear layers
  std::int64_t bytes = 0;   // that they take now
  std::int64_t before = 0;  // that they took
};

// `linear` with a scale for every row (absmax / 448 or / 127) and codes of its own memory; itself where its
// weights are quantised already or are no multiple of 32 wide. Throws Error{invalid_file} naming `name` where a
// weight is not finite.
Linear quantize_linear(const Linear& linear, Quantization quantization, const std::string& name,
                       ThreadPool& pool);

}  // namespace octet::model
