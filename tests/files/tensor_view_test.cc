#include <cmath>
#include <span>
#include <string>

#include "files/checkpoint.h"
#include "files/expect_error.h"

namespace octet::files {
namespace {

std::vector<float> floats_of(TensorDtype dtype, const std::string& bytes) {
  return TensorView{"t", "w.safetensors", dtype, {}, std::as_bytes(std::span(bytes))}.to_floats();
}

TEST(TensorView, ConvertsEveryFloatingDtype) {
  EXPECT_EQ(floats_of(TensorDtype::F32, std::string("\0\0\xc0\x3f", 4)), std::vector<float>{1.5f});
  EXPECT_EQ(floats_of(TensorDtype::F16, std::string("\0\x3e\1\0", 4)), (std::vector<float>{1.5f, 0x1p-24f}));
  EXPECT_EQ(floats_of(TensorDtype::BF16, "\xc0\x3f"), std::vector<float>{1.5f});
  EXPECT_EQ(floats_of(TensorDtype::F8_E4M3, "\x3c\x7e"), (std::vector<float>{1.5f, 448.0f}));
  EXPECT_EQ(floats_of(TensorDtype::F8_E5M2, "\x3e\x7b"), (std::vector<float>{1.5f, 57344.0f}));
  EXPECT_TRUE(std::isnan(floats_of(TensorDtype::F8_E4M3, "\x7f")[0]));
  EXPECT_TRUE(floats_of(TensorDtype::F32, "").empty());
}

TEST(TensorView, ReadsMisalignedData) {
  const std::string bytes("?\0\0\xc0\x3f", 5);
  const TensorView view{"t", "w", TensorDtype::F32, {1}, std::as_bytes(std::span(bytes)).subspan(1)};
  EXPECT_EQ(view.to_floats(), std::vector<float>{1.5f});
}

TEST(TensorView, OtherDtypesAreUnsupported) {
  for (const auto dtype : {TensorDtype::F64, TensorDtype::I64, TensorDtype::U8, TensorDtype::BOOL})
    tests::expect_error(ErrorCode::unsupported,
                        {"w.safetensors: tensor t", std::string(tensor_dtype_name(dtype))},
                        [&] { floats_of(dtype, std::string(8, '\0')); });
}

TEST(TensorView, NamesAndSizes) {
  EXPECT_EQ(tensor_dtype_name(TensorDtype::F8_E5M2), "F8_E5M2");
  EXPECT_EQ(tensor_dtype_name(TensorDtype::BOOL), "BOOL");
  EXPECT_EQ(tensor_dtype_bytes(TensorDtype::F64), 8u);
  EXPECT_EQ(tensor_dtype_bytes(TensorDtype::I16), 2u);
}

TEST(TensorView, FailNamesFileAndTensor) {
  const TensorView view{"a.b", "w.safetensors", TensorDtype::F32, {}, {}};
  tests::expect_error(ErrorCode::invalid_file, {"w.safetensors: tensor a.b: is odd"},
                      [&] { view.fail("is odd"); });
}

// scripts/make-weight-blocks: blocks at random, as the gguf package dequantises them.
TEST(TensorView, BlocksAreThoseOfTheGgufPackageToTheBit) {
  const JsonValue golden = JsonValue::read_file(OCTET_SOURCE_DIR "/tests/data/weight_blocks.json");
  const std::vector<std::string> names = golden.keys();
  EXPECT_EQ(names.size(), 8u);
  for (int i = static_cast<int>(TensorDtype::Q4_0); i <= static_cast<int>(TensorDtype::Q6_K); ++i) {
    const auto dtype = static_cast<TensorDtype>(i);
    const std::string name(tensor_dtype_name(dtype));
    const std::string hex = golden.at(name).at("bytes").as_string();
    std::vector<std::byte> bytes;
    for (std::size_t at = 0; at < hex.size(); at += 2)
      bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(at, 2), nullptr, 16)));
    const std::vector<JsonValue> numbers = golden.at(name).at("numbers").elements();
    const std::vector<float> found = TensorView{"t", "f", dtype, {256}, bytes}.to_floats();
    ASSERT_EQ(found.size(), numbers.size()) << name;
    for (std::size_t at = 0; at < found.size(); ++at)
      ASSERT_EQ(found[at], static_cast<float>(numbers[at].as_double())) << name << " number " << at;
  }
}

}  // namespace
}  // namespace octet::files
