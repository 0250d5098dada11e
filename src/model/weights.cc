#include "model/weights.h"

#include <optional>
#include <sstream>

#include "base/error.h"

namespace octet::model {

namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::ostringstream out;
  out << '[';
  for (std::size_t i = 0; i < shape.size(); ++i) out << (i ? ", " : "") << shape[i];
  out << ']';
  return out.str();
}

const files::TensorView& take_tensor(const files::Checkpoint& checkpoint, const std::string& name,
                                     const std::vector<std::int64_t>& shape) {
  const files::TensorView& tensor = checkpoint.at(name);
  if (tensor.shape != shape)
    tensor.fail("expected shape " + shape_text(shape) + " from config.json, found " + shape_text(tensor.shape));
  return tensor;
}

Dtype weight_dtype(const files::TensorView& tensor) {
  switch (tensor.dtype) {
    case files::TensorDtype::F32:
      return Dtype::float32;
    case files::TensorDtype::F16:
      return Dtype::float16;
    case files::TensorDtype::BF16:
      return Dtype::bfloat16;
    case files::TensorDtype::F8_E4M3:
      return Dtype::fp8_e4m3;
    case files::TensorDtype::F8_E5M2:
      return Dtype::fp8_e5m2;
    default:
      break;
  }
  throw Error(ErrorCode::unsupported,
              "expected weights in F32, F16, BF16, F8_E4M3 or F8_E5M2, found " +
                  std::string(files::tensor_dtype_name(tensor.dtype)),
              tensor.file + ": tensor " + tensor.name);
}

}  // namespace

Linear take_linear(const files::Checkpoint& checkpoint, const std::string& name, int rows, int cols,
                   bool has_bias) {
  const files::TensorView& tensor = take_tensor(checkpoint, name + ".weight", {rows, cols});
  Linear linear{tensor.data.data(), weight_dtype(tensor), rows, cols, {}};
  if (has_bias) linear.bias = take_vector(checkpoint, name + ".bias", rows);
  return linear;
}

Linear take_rows(const Linear& fused, int first, int rows) {
  OCTET_CHECK(first >= 0 && rows > 0 && first + rows <= fused.rows);
  Linear part = fused;
  part.rows = rows;
  part.weight = static_cast<const std::byte*>(fused.weight) + static_cast<std::size_t>(first) *
                                                                  static_cast<std::size_t>(fused.cols) *
                                                                  dtype_bytes(fused.dtype);
  if (!fused.bias.empty()) part.bias.assign(fused.bias.begin() + first, fused.bias.begin() + first + rows);
  return part;
}

std::vector<float> take_vector(const files::Checkpoint& checkpoint, const std::string& name, int size) {
  const files::TensorView& tensor = take_tensor(checkpoint, name, {size});
  weight_dtype(tensor);  // refuses integers
  return tensor.to_floats();
}

}  // namespace octet::model
