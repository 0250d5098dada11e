// Writes safetensors files for tests, honest ones and lying ones, and the small checkpoints around them.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "numeric/float16.h"

namespace octet::tests {

// A folder of its own for one test, removed with it.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "octet-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

  // Writes the file and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream out(path_ / name, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!out.flush()) throw std::runtime_error("cannot write " + file(name));
    return file(name);
  }

 private:
  std::filesystem::path path_;
};

// A safetensors file from a header's text and its data, whatever they say. `length` overrides the prefix.
inline std::string raw_safetensors(const std::string& header, const std::string& data, std::uint64_t length) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((length >> (8 * i)) & 0xffu);
  return bytes + header + data;
}
inline std::string raw_safetensors(const std::string& header, const std::string& data) {
  return raw_safetensors(header, data, header.size());
}

// Collects tensors and writes them as the format wants it.
class SafetensorsBuilder {
 public:
  // `bytes` is the data, as it shall stand in the file.
  SafetensorsBuilder& add(const std::string& name, std::string_view dtype,
                          const std::vector<std::int64_t>& shape, const std::string& bytes) {
    std::string sizes;
    for (const std::int64_t size : shape) sizes.append(sizes.empty() ? "" : ",").append(std::to_string(size));
    if (!header_.empty()) header_ += ",";
    header_.append("\"").append(name).append("\":{\"dtype\":\"").append(dtype).append("\",\"shape\":[");
    header_.append(sizes).append("],\"data_offsets\":[").append(std::to_string(data_.size())).append(",");
    data_ += bytes;
    header_.append(std::to_string(data_.size())).append("]}");
    return *this;
  }

  SafetensorsBuilder& floats(const std::string& name, const std::vector<std::int64_t>& shape,
                             const std::vector<float>& values) {
    return add(name, "F32", shape, bytes_of(values));
  }

  SafetensorsBuilder& bfloat16s(const std::string& name, const std::vector<std::int64_t>& shape,
                                const std::vector<float>& values) {
    std::vector<std::uint16_t> bits;
    for (const float value : values) bits.push_back(bfloat16::from_float(value).bits);
    return add(name, "BF16", shape, bytes_of(bits));
  }

  SafetensorsBuilder& float16s(const std::string& name, const std::vector<std::int64_t>& shape,
                               const std::vector<float>& values) {
    std::vector<std::uint16_t> bits;
    for (const float value : values) bits.push_back(float16::from_float(value).bits);
    return add(name, "F16", shape, bytes_of(bits));
  }

  std::string finish() const {
    std::string header = "{" + header_ + "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');  // so that the data stand aligned in the file
    return raw_safetensors(header, data_);
  }

  template <typename T>
  static std::string bytes_of(const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }

 private:
  std::string header_;
  std::string data_;
};

}  // namespace octet::tests
