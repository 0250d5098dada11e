// Finding a linear layer's weights in a checkpoint, whatever its tensors are: see take_linear in linear.h.
#include <cmath>
#include <cstring>
#include <sstream>

#include "base/error.h"
#include "model/linear.h"
#include "model/weights.h"

namespace octet::model {

namespace {

using files::Checkpoint;
using files::TensorDtype;
using files::TensorView;

std::string shape_of(const std::vector<std::int64_t>& shape) {
  std::ostringstream out;
  out << '[';
  for (std::size_t i = 0; i < shape.size(); ++i) out << (i ? ", " : "") << shape[i];
  out << ']';
  return out.str();
}

const TensorView& take_tensor(const Checkpoint& checkpoint, const std::string& name,
                              const std::vector<std::int64_t>& shape) {
  const TensorView& tensor = checkpoint.at(name);
  if (tensor.shape != shape)
    tensor.fail("expected shape " + shape_of(shape) + " from config.json, found " + shape_of(tensor.shape));
  return tensor;
}

[[noreturn]] void unsupported(const TensorView& tensor, const std::string& message) {
  throw Error(ErrorCode::unsupported, message, tensor.file + ": tensor " + tensor.name);
}

Dtype weight_dtype(const TensorView& tensor) {
  switch (tensor.dtype) {
    case TensorDtype::F32:
      return Dtype::float32;
    case TensorDtype::F16:
      return Dtype::float16;
    case TensorDtype::BF16:
      return Dtype::bfloat16;
    case TensorDtype::F8_E4M3:
      return Dtype::fp8_e4m3;
    case TensorDtype::F8_E5M2:
      return Dtype::fp8_e5m2;
    default:
      break;
  }
  unsupported(tensor, "expected weights in F32, F16, BF16, F8_E4M3 or F8_E5M2, found " +
                          std::string(files::tensor_dtype_name(tensor.dtype)));
}

// Scales of [across rows, across columns] groups: a tensor of as many numbers, each of them finite and not
// negative.
std::vector<float> read_scales(const TensorView& tensor, std::int64_t down, std::int64_t across) {
  if (tensor.elements() != down * across)
    tensor.fail("expected " + std::to_string(down) + " x " + std::to_string(across) + " scales, found shape " +
                shape_of(tensor.shape));
  std::vector<float> scales = tensor.to_floats();
  for (std::size_t i = 0; i < scales.size(); ++i)
    if (!std::isfinite(scales[i]) || scales[i] < 0.0f)
      tensor.fail("scale " + std::to_string(i) + " is " + std::to_string(scales[i]) +
                  ", expected a finite number that is not negative");
  return scales;
}

// One scale for all, for every row, or for group_cols columns of every row, as its shape says.
GroupScales read_row_scales(const TensorView& tensor, const Linear& linear) {
  GroupScales groups;
  const std::int64_t count = tensor.elements(), rows = linear.rows, cols = linear.cols;
  if (count == 1) {
    groups.group_rows = linear.rows;
    groups.group_cols = linear.cols;
    groups.scales = read_scales(tensor, 1, 1);
    return groups;
  }
  const std::int64_t across = count / rows;
  if (across == 0 || count % rows != 0 || cols % across != 0 || (across > 1 && cols / across % 32 != 0))
    tensor.fail("expected 1 scale, " + std::to_string(rows) +
                " (one a row) or as many for each group of a multiple "
                "of 32 columns, found shape " +
                shape_of(tensor.shape));
  groups.group_cols = static_cast<int>(cols / across);
  groups.scales = read_scales(tensor, rows, across);
  return groups;
}

// A block's rows and columns, as [128, 128] in a config.
void read_block_sizes(const files::JsonValue& block, GroupScales& groups) {
  const auto sizes = block.elements();
  if (sizes.size() != 2) block.fail("expected two sizes, found " + block.dump());
  groups.group_rows = static_cast<int>(sizes[0].as_int(1, 1 << 20));
  groups.group_cols = static_cast<int>(sizes[1].as_int(32, 1 << 20));
  if (groups.group_cols % 32 != 0) block.fail("expected a multiple of 32 columns, found " + block.dump());
}

// A scale for each block: DeepSeek's weight_block_size, whose default there is 128 x 128, or the
// block_structure of compressed-tensors. Where several groups state one, the first whose blocks are as many as
// the scales.
GroupScales read_block_scales(const Checkpoint& checkpoint, const TensorView& tensor, const Linear& linear) {
  const auto over = [](int size, int group) { return static_cast<std::int64_t>((size + group - 1) / group); };
  GroupScales groups;
  groups.group_rows = groups.group_cols = 128;
  const auto config = checkpoint.config().find("quantization_config");
  if (const auto block = config ? config->find("weight_block_size") : std::nullopt)
    read_block_sizes(*block, groups);
  const auto schemes = config ? config->find("config_groups") : std::nullopt;
  for (const std::string& name : schemes ? schemes->keys() : std::vector<std::string>()) {
    const auto scheme = schemes->find(name);
    const auto weights = scheme && scheme->is_object() ? scheme->find("weights") : std::nullopt;
    const auto block = weights ? weights->find("block_structure") : std::nullopt;
    if (!block) continue;
    read_block_sizes(*block, groups);
    if (tensor.elements() == over(linear.rows, groups.group_rows) * over(linear.cols, groups.group_cols)) break;
  }
  groups.scales =
      read_scales(tensor, over(linear.rows, groups.group_rows), over(linear.cols, groups.group_cols));
  return groups;
}

// The codes of zero points: I8 about zero, or packed in I32 down the rows, several a word.
std::vector<float> read_zero_points(const TensorView& tensor, int bits, int rows, std::int64_t across,
                                    int middle) {
  std::vector<float> points(static_cast<std::size_t>(rows * across));
  if (tensor.dtype == TensorDtype::I8) {
    if (tensor.elements() != rows * across)
      tensor.fail("expected " + std::to_string(rows * across) + " zero points, found shape " +
                  shape_of(tensor.shape));
    for (std::size_t i = 0; i < points.size(); ++i)
      points[i] = static_cast<float>(static_cast<std::int8_t>(tensor.data[i]) + middle);
    return points;
  }
  const int in_word = 32 / bits;
  const std::int64_t words = (rows + in_word - 1) / in_word * across;
  if (tensor.dtype != TensorDtype::I32 || tensor.elements() != words)
    tensor.fail("expected " + std::to_string(words) + " words of I32 with packed zero points, found " +
                std::string(files::tensor_dtype_name(tensor.dtype)) + " of shape " + shape_of(tensor.shape));
  for (int row = 0; row < rows; ++row)
    for (std::int64_t column = 0; column < across; ++column) {
      std::uint32_t word;
      std::memcpy(&word, tensor.data.data() + 4 * (row / in_word * across + column), sizeof(word));
      const std::uint32_t code = (word >> (row % in_word * bits)) & ((1u << bits) - 1u);
      points[static_cast<std::size_t>(row * across + column)] = static_cast<float>(code);
    }
  return points;
}

void require_whole_steps(const TensorView& tensor, int cols) {
  if (cols % 32 != 0)
    unsupported(tensor, "quantised weights of " + std::to_string(cols) +
                            " columns are not run here; run are multiples of 32");
}

// compressed-tensors' pack-quantized: four or eight bits, unsigned about their middle, side by side in words.
void take_packed(const Checkpoint& checkpoint, const std::string& name, const TensorView& packed,
                 Linear& linear) {
  require_whole_steps(packed, linear.cols);
  const std::int64_t bits = packed.shape.size() == 2 ? packed.shape[1] * 32 / linear.cols : 0;
  if (packed.dtype != TensorDtype::I32 || packed.shape.size() != 2 || packed.shape[0] != linear.rows ||
      (bits != 4 && bits != 8) || packed.shape[1] * 32 != bits * linear.cols)
    packed.fail("expected I32 of shape " + shape_of({linear.rows, linear.cols / 8}) + " (4 bits) or " +
                shape_of({linear.rows, linear.cols / 4}) + " (8 bits), found " +
                std::string(files::tensor_dtype_name(packed.dtype)) + " of " + shape_of(packed.shape));
  if (const TensorView* order = checkpoint.find(name + ".weight_g_idx"))
    unsupported(*order, "columns that are grouped in another order (actorder) are not run here");
  linear.weight = packed.data.data();
  linear.format = bits == 4 ? WeightFormat::uint4_groups : WeightFormat::uint8_groups;
  GroupScales groups = read_row_scales(checkpoint.at(name + ".weight_scale"), linear);
  const int middle = bits == 4 ? 8 : 128;
  std::vector<float> points(groups.scales.size(), static_cast<float>(middle));
  if (const TensorView* zero_point = checkpoint.find(name + ".weight_zero_point")) {
    const int down = (linear.rows + groups.group_rows - 1) / groups.group_rows;
    points =
        read_zero_points(*zero_point, static_cast<int>(bits), down, linear.cols / groups.group_cols, middle);
  }
  for (std::size_t i = 0; i < points.size(); ++i) groups.offsets.push_back(-points[i] * groups.scales[i]);
  linear.groups = std::make_shared<const GroupScales>(std::move(groups));
}

void take_scaled_codes(const Checkpoint& checkpoint, const std::string& name, const TensorView& tensor,
                       Linear& linear) {
  require_whole_steps(tensor, linear.cols);
  linear.weight = tensor.data.data();
  linear.format = tensor.dtype == TensorDtype::I8 ? WeightFormat::int8_groups : WeightFormat::fp8_groups;
  const TensorView* inverse = checkpoint.find(name + ".weight_scale_inv");
  const TensorView& scale = inverse ? *inverse : checkpoint.at(name + ".weight_scale");
  // Fewer rows of scales than of weights, but not one for all.
  const bool in_blocks =
      inverse || (scale.shape.size() == 2 && scale.elements() > 1 && scale.shape[0] < linear.rows);
  GroupScales groups =
      in_blocks ? read_block_scales(checkpoint, scale, linear) : read_row_scales(scale, linear);
  if (const TensorView* zero_point = checkpoint.find(name + ".weight_zero_point"))
    for (const std::byte byte : zero_point->data)
      if (byte != std::byte{0})
        unsupported(*zero_point,
                    "zero points of weights that are not packed are not run here; they must be zero");
  linear.groups = std::make_shared<const GroupScales>(std::move(groups));
}

// Where a config says that weights are quantised, FP8 without a scale is a scale that was lost.
bool has_scaled_codes(const Checkpoint& checkpoint, const std::string& name, const TensorView& tensor) {
  if (tensor.dtype == TensorDtype::I8) return true;
  if (tensor.dtype != TensorDtype::F8_E4M3) return false;
  return checkpoint.find(name + ".weight_scale") != nullptr ||
         checkpoint.find(name + ".weight_scale_inv") != nullptr ||
         checkpoint.config().find("quantization_config").has_value();
}

}  // namespace

Linear take_linear(const Checkpoint& checkpoint, const std::string& name, int rows, int cols, bool has_bias) {
  Linear linear;
  linear.rows = rows;
  linear.cols = cols;
  if (const TensorView* packed = checkpoint.find(name + ".weight_packed")) {
    take_packed(checkpoint, name, *packed, linear);
  } else {
    const TensorView& tensor = take_tensor(checkpoint, name + ".weight", {rows, cols});
    if (has_scaled_codes(checkpoint, name, tensor)) {
      take_scaled_codes(checkpoint, name, tensor, linear);
    } else {
      linear.weight = tensor.data.data();
      linear.format = files::tensor_block_format(tensor.dtype);
      if (!linear.format) linear.dtype = weight_dtype(tensor);
    }
  }
  if (has_bias) linear.bias = take_vector(checkpoint, name + ".bias", rows);
  return linear;
}

std::vector<float> take_vector(const Checkpoint& checkpoint, const std::string& name, int size) {
  const TensorView& tensor = take_tensor(checkpoint, name, {size});
  weight_dtype(tensor);  // refuses integers
  return tensor.to_floats();
}

}  // namespace octet::model
