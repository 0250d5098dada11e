// Writes GGUF files for tests, honest ones and lying ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "files/gguf.h"

namespace octet::tests {

template <typename T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// A string as the format has it: its length and its bytes.
inline std::string gguf_string(std::string_view text) {
  return little_endian<std::uint64_t>(text.size()) + std::string(text);
}

class GgufBuilder {
 public:
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;

  // `bytes` is the value as it stands in the file.
  GgufBuilder& value(std::string_view key, files::GgufType type, const std::string& bytes) {
    metadata_ += gguf_string(key) + little_endian(static_cast<std::uint32_t>(type)) + bytes;
    ++num_values_;
    return *this;
  }
  GgufBuilder& text(std::string_view key, std::string_view text) {
    return value(key, files::GgufType::string, gguf_string(text));
  }
  GgufBuilder& number(std::string_view key, std::uint32_t number) {
    return value(key, files::GgufType::uint32, little_endian(number));
  }
  GgufBuilder& real(std::string_view key, float number) {
    return value(key, files::GgufType::float32, little_endian(number));
  }
  GgufBuilder& flag(std::string_view key, bool set) {
    return value(key, files::GgufType::boolean, std::string(1, set ? '\1' : '\0'));
  }
  GgufBuilder& array(std::string_view key, files::GgufType type, std::uint64_t count,
                     const std::string& bytes) {
    return value(key, files::GgufType::array,
                 little_endian(static_cast<std::uint32_t>(type)) + little_endian(count) + bytes);
  }
  GgufBuilder& strings(std::string_view key, const std::vector<std::string>& strings) {
    std::string bytes;
    for (const std::string& each : strings) bytes += gguf_string(each);
    return array(key, files::GgufType::string, strings.size(), bytes);
  }

  // `shape` is [out, in] as a TensorView has it; `type` is ggml's number.
  GgufBuilder& tensor(std::string_view name, std::uint32_t type, const std::vector<std::int64_t>& shape,
                      const std::string& bytes) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
    return entry(name, type, shape, data_.size(), bytes);
  }
  // The same with an offset of the caller's.
  GgufBuilder& entry(std::string_view name, std::uint32_t type, const std::vector<std::int64_t>& shape,
                     std::uint64_t offset, const std::string& bytes) {
    table_ += gguf_string(name) + little_endian(static_cast<std::uint32_t>(shape.size()));
    for (auto size = shape.rbegin(); size != shape.rend(); ++size) table_ += little_endian(*size);
    table_ += little_endian(type) + little_endian(offset);
    data_ += bytes;
    ++num_tensors_;
    return *this;
  }

  std::string finish() const {
    std::string bytes = "GGUF" + little_endian(version) + little_endian(num_tensors_) +
                        little_endian(num_values_) + metadata_ + table_;
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
    return bytes + data_;
  }

 private:
  std::string metadata_, table_, data_;
  std::uint64_t num_values_ = 0, num_tensors_ = 0;
};

}  // namespace octet::tests
