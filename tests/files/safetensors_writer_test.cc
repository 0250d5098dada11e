#include "files/safetensors_writer.h"

#include <gtest/gtest.h>

#include "files/safetensors.h"

namespace octet::files {
namespace {

TEST(SafetensorsWriter, IsReadBackByTheReader) {
  std::vector<OwnedTensor> tensors;
  const std::vector<float> values = {1.0f, -0.3f, 448.0f};
  tensors.push_back({"zero", TensorDtype::F8_E4M3, {3, 1, 1}, std::vector<std::byte>(3)});
  tensors.push_back(OwnedTensor::from_floats("bf", TensorDtype::BF16, {3, 1, 1}, values));
  tensors.push_back(OwnedTensor::from_floats("half", TensorDtype::F16, {3}, values));
  tensors.push_back(OwnedTensor::from_floats("quote\"d", TensorDtype::F32, {1, 3}, values));
  tensors.push_back({"none", TensorDtype::U64, {0}, {}});
  const std::vector<std::byte> bytes = safetensors_bytes(tensors, {{"format", "pt"}, {"note", "a\nb"}});
  const Safetensors read = read_safetensors(bytes, "x");
  EXPECT_EQ(read.metadata,
            (std::vector<std::pair<std::string, std::string>>{{"format", "pt"}, {"note", "a\nb"}}));
  ASSERT_EQ(read.tensors.size(), 5u);
  for (const TensorView& tensor : read.tensors) {
    const auto offset = static_cast<std::size_t>(tensor.data.data() - bytes.data());
    EXPECT_EQ(offset % tensor_dtype_bytes(tensor.dtype), 0u) << tensor.name;
    if (tensor.name == "bf") {
      EXPECT_EQ(tensor.to_floats(), (std::vector<float>{1.0f, -0.30078125f, 448.0f}));
      EXPECT_EQ(tensor.shape, (std::vector<std::int64_t>{3, 1, 1}));
    }
    if (tensor.name == "half") {
      EXPECT_EQ(tensor.to_floats()[1], -0.300048828125f);
    }
    if (tensor.name == "quote\"d") {
      EXPECT_EQ(tensor.to_floats(), values);
    }
    if (tensor.name == "zero") {
      EXPECT_EQ(tensor.to_floats(), std::vector<float>(3, 0.0f));
    }
  }
}

}  // namespace
}  // namespace octet::files
