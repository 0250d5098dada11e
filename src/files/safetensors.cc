#include "files/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/checked.h"
#include "base/error.h"
#include "files/printable.h"

namespace octet::files {

namespace {

constexpr std::size_t kPrefixBytes = 8;
// The format's own limit on the header.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

// A tensor as the header describes it.
struct Entry {
  std::string name;
  TensorDtype dtype;
  std::vector<std::int64_t> shape;
  std::int64_t begin;
  std::int64_t end;
};

[[noreturn]] void fail_tensor(const std::string& file, const std::string& name, const std::string& message) {
  throw Error(ErrorCode::invalid_file, message, file + ": tensor " + printable(name));
}

std::string_view header_text(std::span<const std::byte> bytes, const std::string& file) {
  const auto fail = [&](const std::string& message) { throw Error(ErrorCode::invalid_file, message, file); };
  if (bytes.size() < kPrefixBytes)
    fail("not a safetensors file: it has " + std::to_string(bytes.size()) +
         " bytes, and the header's length alone takes 8");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kPrefixBytes; ++i) length |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  if (length > kMaxHeaderBytes)
    fail("the header claims " + std::to_string(length) + " bytes; the format allows at most 100000000");
  const std::size_t rest = bytes.size() - kPrefixBytes;
  if (length > rest)
    fail("the header claims " + std::to_string(length) + " bytes, but only " + std::to_string(rest) +
         " follow: the file is cut short");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes,
                              static_cast<std::size_t>(length));
  if (text.empty() || text.front() != '{') fail("the header does not begin with '{'");
  return text;
}

TensorDtype read_dtype(const JsonValue& value, const std::string& file, const std::string& name) {
  const std::string text = value.as_string();
  std::string known;
  for (int i = 0; i <= static_cast<int>(TensorDtype::BOOL); ++i) {
    const auto dtype = static_cast<TensorDtype>(i);
    if (tensor_dtype_name(dtype) == text) return dtype;
    known += (known.empty() ? "" : ", ") + std::string(tensor_dtype_name(dtype));
  }
  throw Error(ErrorCode::unsupported, "unknown dtype \"" + printable(text, 40) + "\"; known are " + known,
              file + ": tensor " + printable(name));
}

std::int64_t read_size(const JsonValue& value, const std::string& file, const std::string& name,
                       const char* member) {
  if (!value.is_number()) fail_tensor(file, name, std::string(member) + " holds something other than a number");
  const std::string text = value.dump();
  // Digits only: no sign, no fraction, no exponent; what does not fit 63 bits is refused with the rest.
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos && text.size() < 19;
  if (!digits) fail_tensor(file, name, std::string(member) + " holds " + printable(text, 40) + ", not a size");
  return value.as_int();
}

Entry read_entry(const JsonValue& value, const std::string& file, const std::string& name) {
  if (!value.is_object()) fail_tensor(file, name, "expected an object with dtype, shape and data_offsets");
  for (const std::string& key : value.keys())
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      fail_tensor(file, name, "unknown member \"" + printable(key, 40) + "\"");
  for (const char* key : {"dtype", "shape", "data_offsets"})
    if (!value.find(key)) fail_tensor(file, name, std::string(key) + " is missing");

  Entry entry{name, read_dtype(value.at("dtype"), file, name), {}, 0, 0};
  for (const JsonValue& size : value.at("shape").elements())
    entry.shape.push_back(read_size(size, file, name, "shape"));
  const std::vector<JsonValue> offsets = value.at("data_offsets").elements();
  if (offsets.size() != 2)
    fail_tensor(file, name, "data_offsets has " + std::to_string(offsets.size()) + " numbers, expected 2");
  entry.begin = read_size(offsets[0], file, name, "data_offsets");
  entry.end = read_size(offsets[1], file, name, "data_offsets");
  return entry;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return printable(text, 80) + "]";
}

// The entry's own numbers agree with each other and with the `data_bytes` that the file has.
void check_entry(const Entry& entry, std::int64_t data_bytes, const std::string& file) {
  if (entry.begin > entry.end)
    fail_tensor(
        file, entry.name,
        "data_offsets run backwards: " + std::to_string(entry.begin) + " to " + std::to_string(entry.end));
  if (entry.end > data_bytes)
    fail_tensor(file, entry.name,
                "data_offsets end at byte " + std::to_string(entry.end) + ", past the end of the data (" +
                    std::to_string(data_bytes) + " bytes)");
  std::optional<std::int64_t> expected = static_cast<std::int64_t>(tensor_dtype_bytes(entry.dtype));
  for (const std::int64_t size : entry.shape) {
    expected = checked_mul(*expected, size);
    if (!expected) fail_tensor(file, entry.name, "the shape " + shape_text(entry.shape) + " overflows 64 bits");
  }
  if (*expected != entry.end - entry.begin)
    fail_tensor(file, entry.name,
                "the shape " + shape_text(entry.shape) + " of " + std::string(tensor_dtype_name(entry.dtype)) +
                    " takes " + std::to_string(*expected) + " bytes, but data_offsets give it " +
                    std::to_string(entry.end - entry.begin));
}

// Sorted by place, each tensor begins where the one before ends, and the last ends with the file.
void check_contiguous(const std::vector<Entry>& entries, std::int64_t data_bytes, const std::string& file) {
  std::int64_t end = 0;
  const Entry* before = nullptr;
  for (const Entry& entry : entries) {
    if (entry.begin < end)
      fail_tensor(file, entry.name,
                  "overlaps tensor " + printable(before->name) + ": it begins at byte " +
                      std::to_string(entry.begin) + ", and the other ends at " + std::to_string(end));
    if (entry.begin > end)
      fail_tensor(file, entry.name,
                  "begins at byte " + std::to_string(entry.begin) + ", leaving a hole of " +
                      std::to_string(entry.begin - end) + " bytes that no tensor describes");
    end = entry.end;
    before = &entry;
  }
  if (end != data_bytes)
    throw Error(ErrorCode::invalid_file,
                "the tensors end at byte " + std::to_string(end) + " of the data, which has " +
                    std::to_string(data_bytes) + " bytes",
                file);
}

}  // namespace

Safetensors read_safetensors(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text = header_text(bytes, file);
  const std::span<const std::byte> data = bytes.subspan(kPrefixBytes + text.size());
  const auto data_bytes = static_cast<std::int64_t>(data.size());
  const JsonValue header = JsonValue::parse(text, file + ": header");

  Safetensors result;
  std::vector<Entry> entries;
  for (const std::string& name : header.keys()) {
    if (name == "__metadata__") {
      const JsonValue metadata = header.at(name);
      for (const std::string& key : metadata.keys())
        result.metadata.emplace_back(key, metadata.at(key).as_string());
      continue;
    }
    const std::optional<JsonValue> value = header.find(name);
    if (!value) fail_tensor(file, name, "expected an object with dtype, shape and data_offsets, found null");
    entries.push_back(read_entry(*value, file, name));
    check_entry(entries.back(), data_bytes, file);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  check_contiguous(entries, data_bytes, file);

  for (Entry& entry : entries)
    result.tensors.push_back({std::move(entry.name), file, entry.dtype, std::move(entry.shape),
                              data.subspan(static_cast<std::size_t>(entry.begin),
                                           static_cast<std::size_t>(entry.end - entry.begin))});
  return result;
}

}  // namespace octet::files
