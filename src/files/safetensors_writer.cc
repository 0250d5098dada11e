#include "files/safetensors_writer.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "numeric/float16.h"

namespace octet::files {

namespace {

template <typename Stored>
void append(std::vector<std::byte>& data, Stored stored) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&stored);
  data.insert(data.end(), bytes, bytes + sizeof stored);
}

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

}  // namespace

OwnedTensor OwnedTensor::from_floats(std::string name, TensorDtype dtype, std::vector<std::int64_t> shape,
                                     std::span<const float> values) {
  OCTET_CHECK(elements(shape) == static_cast<std::int64_t>(values.size()));
  OwnedTensor tensor{std::move(name), dtype, std::move(shape), {}};
  for (const float value : values) {
    if (dtype == TensorDtype::F32)
      append(tensor.data, value);
    else if (dtype == TensorDtype::BF16)
      append(tensor.data, bfloat16::from_float(value));
    else if (dtype == TensorDtype::F16)
      append(tensor.data, float16::from_float(value));
    else
      OCTET_CHECK(!"a dtype that floats are written in");
  }
  return tensor;
}

std::vector<std::byte> safetensors_bytes(std::vector<OwnedTensor> tensors,
                                         const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const OwnedTensor& a, const OwnedTensor& b) {
    return tensor_dtype_bytes(a.dtype) > tensor_dtype_bytes(b.dtype);
  });
  auto header = nlohmann::ordered_json::object();
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  std::size_t end = 0;
  for (const OwnedTensor& tensor : tensors) {
    OCTET_CHECK(static_cast<std::size_t>(elements(tensor.shape)) * tensor_dtype_bytes(tensor.dtype) ==
                tensor.data.size());
    OCTET_CHECK(!header.contains(tensor.name));
    header[tensor.name] = {{"dtype", tensor_dtype_name(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {end, end + tensor.data.size()}}};
    end += tensor.data.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::vector<std::byte> bytes;
  bytes.reserve(8 + text.size() + end);
  append(bytes, static_cast<std::uint64_t>(text.size()));
  const auto* chars = reinterpret_cast<const std::byte*>(text.data());
  bytes.insert(bytes.end(), chars, chars + text.size());
  for (const OwnedTensor& tensor : tensors) bytes.insert(bytes.end(), tensor.data.begin(), tensor.data.end());
  return bytes;
}

}  // namespace octet::files
