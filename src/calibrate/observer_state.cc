#include "calibrate/observer_state.h"

#include <cstring>
#include <utility>

#include "base/error.h"

namespace octet::calibrate {

namespace {

using files::TensorDtype;

template <typename T>
files::OwnedTensor to_tensor(std::string name, TensorDtype dtype, std::span<const T> values) {
  files::OwnedTensor tensor{std::move(name), dtype, {static_cast<std::int64_t>(values.size())}, {}};
  const auto bytes = std::as_bytes(values);
  tensor.data.assign(bytes.begin(), bytes.end());
  return tensor;
}

template <typename T>
void from_tensor(std::span<const files::TensorView> state, const std::string& name, TensorDtype dtype,
                 std::span<T> values) {
  for (const files::TensorView& tensor : state) {
    if (tensor.name != name) continue;
    if (tensor.dtype != dtype || tensor.data.size() != values.size_bytes())
      tensor.fail("expected " + std::to_string(values.size()) + " values of " +
                  std::string(files::tensor_dtype_name(dtype)) + ", found " +
                  std::to_string(tensor.elements()) + " of " +
                  std::string(files::tensor_dtype_name(tensor.dtype)));
    std::memcpy(values.data(), tensor.data.data(), values.size_bytes());
    return;
  }
  throw Error(ErrorCode::invalid_file, "tensor " + name + " is missing", "calibration state");
}

}  // namespace

files::OwnedTensor state_tensor(std::string name, std::span<const float> values) {
  return to_tensor(std::move(name), TensorDtype::F32, values);
}

files::OwnedTensor state_tensor(std::string name, std::span<const std::uint64_t> values) {
  return to_tensor(std::move(name), TensorDtype::U64, values);
}

void restore_tensor(std::span<const files::TensorView> state, const std::string& name,
                    std::span<float> values) {
  from_tensor(state, name, TensorDtype::F32, values);
}

void restore_tensor(std::span<const files::TensorView> state, const std::string& name,
                    std::span<std::uint64_t> values) {
  from_tensor(state, name, TensorDtype::U64, values);
}

}  // namespace octet::calibrate
