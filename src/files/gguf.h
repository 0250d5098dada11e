// GgufFile: a GGUF file, mapped read-only: its metadata with typed access, and its table of tensors.
//
// Opening checks every length, count, offset and name completely; tensor bytes are not looked at. Strings,
// arrays and tensors are views into the mapping and live as long as the GgufFile. Thread-safe.
// Source: the GGUF format description (ggml-org/ggml, docs/gguf.md), versions 2 and 3, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/checkpoint.h"
#include "files/mapped_file.h"

namespace octet::files {

// As the file numbers them.
enum class GgufType : std::uint32_t {
  uint8,
  int8,
  uint16,
  int16,
  uint32,
  int32,
  float32,
  boolean,
  string,
  array,
  uint64,
  int64,
  float64
};
std::string_view gguf_type_name(GgufType type);

// One metadata value. Conversions throw Error{invalid_file} naming the file and the key where the type or the
// range is another; integers of every width and sign convert, since writers differ in what they take.
class GgufValue {
 public:
  GgufType type() const { return type_; }
  bool is_array() const { return type_ == GgufType::array; }
  GgufType element_type() const { return element_type_; }  // of an array
  std::size_t size() const { return size_; }               // of an array

  bool as_bool() const;
  std::int64_t as_int(std::int64_t least, std::int64_t most) const;
  double as_double() const;  // finite; integers too
  std::string_view as_string() const;
  // Arrays whole: of strings, of integers that all lie in [least, most], of finite floats.
  std::vector<std::string_view> as_strings() const;
  std::vector<std::int64_t> as_ints(std::int64_t least, std::int64_t most) const;
  std::vector<float> as_floats() const;

  const std::string& key() const { return key_; }
  // Throws Error{invalid_file} at this value's place with this message.
  [[noreturn]] void fail(const std::string& message) const;

 private:
  friend class GgufReader;
  std::string file_, key_;
  GgufType type_ = GgufType::uint8, element_type_ = GgufType::uint8;
  std::size_t size_ = 1;
  std::span<const std::byte> bytes_;  // the value, or the elements of an array

  std::int64_t int_at(std::size_t index, std::int64_t least, std::int64_t most) const;
  double double_at(std::size_t index) const;
};

// What a GGUF file says, as views into `bytes`.
struct GgufContents {
  std::uint32_t version = 0;
  std::vector<GgufValue> metadata;  // in file order
  std::vector<TensorView> tensors;  // in file order; shapes [out, in], the fastest dimension last

  const GgufValue* find(std::string_view key) const;  // null where absent
};

// Reads a whole GGUF file; `bytes` must outlive the views, and `file` is its path, for errors.
// Throws Error: invalid_file (no GGUF; short, lying, overlapping, overflowing, a name or key twice),
// unsupported (another version, big-endian, a tensor type that is not read here); all name the file and the key
// or tensor.
GgufContents read_gguf(std::span<const std::byte> bytes, const std::string& file);

class GgufFile {
 public:
  // Throws as MappedFile and read_gguf.
  static GgufFile open(const std::string& path);

  const std::string& path() const { return mapping_.path(); }
  std::uint32_t version() const { return contents_.version; }
  const std::vector<GgufValue>& metadata() const { return contents_.metadata; }
  const GgufValue* find(std::string_view key) const { return contents_.find(key); }
  const GgufValue& at(std::string_view key) const;  // throws Error{invalid_file} naming the key
  const std::vector<TensorView>& tensors() const { return contents_.tensors; }
  const MappedFile& mapping() const { return mapping_; }

 private:
  explicit GgufFile(MappedFile mapping);
  MappedFile mapping_;
  GgufContents contents_;
};

// Whether `path` is a regular file that begins as a GGUF file does; and the one such file (*.gguf) in the
// folder `path`, or `path` itself where it is one. Empty where there is none; more than one in a folder without
// config.json throws Error{invalid_file} naming them.
bool is_gguf_file(const std::string& path);
std::string find_gguf(const std::string& path);

}  // namespace octet::files
