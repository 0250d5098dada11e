#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "files/checkpoint.h"
#include "files/printable.h"
#include "numeric/float16.h"
#include "numeric/fp8.h"

namespace octet::files {

namespace {

struct DtypeRow {
  std::string_view name;
  std::size_t bytes;
};

// In the order of TensorDtype.
constexpr std::array<DtypeRow, 23> kDtypes{{{"F64", 8},
                                            {"F32", 4},
                                            {"F16", 2},
                                            {"BF16", 2},
                                            {"F8_E4M3", 1},
                                            {"F8_E5M2", 1},
                                            {"I64", 8},
                                            {"I32", 4},
                                            {"I16", 2},
                                            {"I8", 1},
                                            {"U64", 8},
                                            {"U32", 4},
                                            {"U16", 2},
                                            {"U8", 1},
                                            {"BOOL", 1},
                                            {"Q4_0", block_bytes(WeightFormat::q4_0)},
                                            {"Q4_1", block_bytes(WeightFormat::q4_1)},
                                            {"Q5_0", block_bytes(WeightFormat::q5_0)},
                                            {"Q5_1", block_bytes(WeightFormat::q5_1)},
                                            {"Q8_0", block_bytes(WeightFormat::q8_0)},
                                            {"Q4_K", block_bytes(WeightFormat::q4_k)},
                                            {"Q5_K", block_bytes(WeightFormat::q5_k)},
                                            {"Q6_K", block_bytes(WeightFormat::q6_k)}}};
static_assert(kDtypes.size() == static_cast<std::size_t>(TensorDtype::Q6_K) + 1);
static_assert(std::endian::native == std::endian::little, "tensor bytes are read as they stand in the file");

// `Stored` has one member, its bits; the data may stand at any alignment.
template <typename Stored, typename Convert>
std::vector<float> convert_all(std::span<const std::byte> data, Convert convert) {
  std::vector<float> values(data.size() / sizeof(Stored));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, data.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = convert(stored);
  }
  return values;
}

std::vector<float> convert_blocks(std::span<const std::byte> data, WeightFormat format) {
  const auto bytes = static_cast<std::size_t>(block_bytes(format));
  std::vector<float> values;
  values.reserve(data.size() / bytes * static_cast<std::size_t>(block_elements(format)));
  for (std::size_t at = 0; at < data.size(); at += bytes)
    for (int i = 0; i < block_elements(format); ++i)
      values.push_back(block_number(format, data.data() + at, i));
  return values;
}

}  // namespace

std::string_view tensor_dtype_name(TensorDtype dtype) {
  return kDtypes.at(static_cast<std::size_t>(dtype)).name;
}

std::size_t tensor_dtype_bytes(TensorDtype dtype) { return kDtypes.at(static_cast<std::size_t>(dtype)).bytes; }

std::optional<WeightFormat> tensor_block_format(TensorDtype dtype) {
  if (dtype < TensorDtype::Q4_0) return std::nullopt;
  return static_cast<WeightFormat>(static_cast<int>(dtype) - static_cast<int>(TensorDtype::Q4_0));
}
static_assert(static_cast<int>(TensorDtype::Q6_K) - static_cast<int>(TensorDtype::Q4_0) ==
              static_cast<int>(WeightFormat::q6_k));

int tensor_block_elements(TensorDtype dtype) {
  const auto format = tensor_block_format(dtype);
  return format ? block_elements(*format) : 1;
}

std::int64_t TensorView::elements() const {
  return static_cast<std::int64_t>(data.size() / tensor_dtype_bytes(dtype)) * tensor_block_elements(dtype);
}

std::vector<float> TensorView::to_floats() const {
  if (const auto format = tensor_block_format(dtype)) return convert_blocks(data, *format);
  const auto widen = [](auto stored) { return stored.to_float(); };
  switch (dtype) {
    case TensorDtype::F32:
      return convert_all<float>(data, [](float value) { return value; });
    case TensorDtype::F16:
      return convert_all<float16>(data, widen);
    case TensorDtype::BF16:
      return convert_all<bfloat16>(data, widen);
    case TensorDtype::F8_E4M3:
      return convert_all<fp8_e4m3>(data, widen);
    case TensorDtype::F8_E5M2:
      return convert_all<fp8_e5m2>(data, widen);
    default:
      throw Error(ErrorCode::unsupported,
                  "expected F32, F16, BF16, F8_E4M3 or F8_E5M2, found " + std::string(tensor_dtype_name(dtype)),
                  file + ": tensor " + printable(name));
  }
}

void TensorView::fail(const std::string& message) const {
  throw Error(ErrorCode::invalid_file, message, file + ": tensor " + printable(name));
}

}  // namespace octet::files
