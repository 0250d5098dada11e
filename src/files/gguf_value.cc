#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "files/gguf.h"
#include "files/printable.h"

namespace octet::files {

namespace {

constexpr std::array<std::string_view, 13> kTypeNames{"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                      "int32",  "float32", "bool",   "string", "array",
                                                      "uint64", "int64",   "float64"};

template <typename T>
T read_at(std::span<const std::byte> bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

std::string_view string_at(std::span<const std::byte> bytes, std::size_t& offset) {
  std::uint64_t length;
  std::memcpy(&length, bytes.data() + offset, sizeof(length));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + offset + sizeof(length),
                              static_cast<std::size_t>(length));
  offset += sizeof(length) + text.size();
  return text;
}

bool is_integer(GgufType type) {
  return type <= GgufType::int32 || type == GgufType::uint64 || type == GgufType::int64;
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  const auto index = static_cast<std::size_t>(type);
  return index < kTypeNames.size() ? kTypeNames[index] : "?";
}

void GgufValue::fail(const std::string& message) const {
  throw Error(ErrorCode::invalid_file, message, file_ + ": metadata " + printable(key_));
}

std::int64_t GgufValue::int_at(std::size_t index, std::int64_t least, std::int64_t most) const {
  std::int64_t value = 0;
  switch (is_array() ? element_type_ : type_) {
    case GgufType::uint8:
      value = read_at<std::uint8_t>(bytes_, index);
      break;
    case GgufType::int8:
      value = read_at<std::int8_t>(bytes_, index);
      break;
    case GgufType::uint16:
      value = read_at<std::uint16_t>(bytes_, index);
      break;
    case GgufType::int16:
      value = read_at<std::int16_t>(bytes_, index);
      break;
    case GgufType::uint32:
      value = read_at<std::uint32_t>(bytes_, index);
      break;
    case GgufType::int32:
      value = read_at<std::int32_t>(bytes_, index);
      break;
    case GgufType::int64:
      value = read_at<std::int64_t>(bytes_, index);
      break;
    default: {
      const auto large = read_at<std::uint64_t>(bytes_, index);
      if (large > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fail("expected a number of at most 63 bits, found " + std::to_string(large));
      value = static_cast<std::int64_t>(large);
    }
  }
  if (value < least || value > most)
    fail("expected a number from " + std::to_string(least) + " to " + std::to_string(most) + ", found " +
         std::to_string(value));
  return value;
}

double GgufValue::double_at(std::size_t index) const {
  const GgufType type = is_array() ? element_type_ : type_;
  if (is_integer(type))
    return static_cast<double>(
        int_at(index, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()));
  const double value = type == GgufType::float32 ? static_cast<double>(read_at<float>(bytes_, index))
                                                 : read_at<double>(bytes_, index);
  if (!std::isfinite(value)) fail("expected a finite number, found " + std::to_string(value));
  return value;
}

bool GgufValue::as_bool() const {
  if (type_ != GgufType::boolean) fail("expected bool, found " + std::string(gguf_type_name(type_)));
  return read_at<std::uint8_t>(bytes_, 0) != 0;
}

std::int64_t GgufValue::as_int(std::int64_t least, std::int64_t most) const {
  if (!is_integer(type_)) fail("expected an integer, found " + std::string(gguf_type_name(type_)));
  return int_at(0, least, most);
}

double GgufValue::as_double() const {
  if (!is_integer(type_) && type_ != GgufType::float32 && type_ != GgufType::float64)
    fail("expected a number, found " + std::string(gguf_type_name(type_)));
  return double_at(0);
}

std::string_view GgufValue::as_string() const {
  if (type_ != GgufType::string) fail("expected string, found " + std::string(gguf_type_name(type_)));
  std::size_t offset = 0;
  return string_at(bytes_, offset);
}

std::vector<std::string_view> GgufValue::as_strings() const {
  if (!is_array() || element_type_ != GgufType::string)
    fail("expected an array of string, found " +
         std::string(gguf_type_name(is_array() ? element_type_ : type_)));
  std::vector<std::string_view> strings;
  strings.reserve(size_);
  for (std::size_t offset = 0; strings.size() < size_;) strings.push_back(string_at(bytes_, offset));
  return strings;
}

std::vector<std::int64_t> GgufValue::as_ints(std::int64_t least, std::int64_t most) const {
  if (!is_array() || !is_integer(element_type_))
    fail("expected an array of integers, found " +
         std::string(gguf_type_name(is_array() ? element_type_ : type_)));
  std::vector<std::int64_t> numbers(size_);
  for (std::size_t i = 0; i < size_; ++i) numbers[i] = int_at(i, least, most);
  return numbers;
}

std::vector<float> GgufValue::as_floats() const {
  if (!is_array() || (element_type_ != GgufType::float32 && element_type_ != GgufType::float64))
    fail("expected an array of floats, found " +
         std::string(gguf_type_name(is_array() ? element_type_ : type_)));
  std::vector<float> numbers(size_);
  for (std::size_t i = 0; i < size_; ++i) numbers[i] = static_cast<float>(double_at(i));
  return numbers;
}

}  // namespace octet::files
