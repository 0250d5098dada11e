#include "files/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/checked.h"
#include "base/error.h"
#include "files/printable.h"

namespace octet::files {

namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::size_t kMostKeyBytes = 65535;  // the format's own limits
constexpr std::size_t kMostNameBytes = 64;
constexpr std::uint32_t kMostDims = 4;
constexpr std::uint32_t kMostAlignment = 1u << 20;
constexpr int kMostArrayLevels = 4;

// ggml's numbers of the types that are read here.
struct TensorType {
  std::uint32_t number;
  TensorDtype dtype;
};
constexpr std::array<TensorType, 16> kTensorTypes{{
    {0, TensorDtype::F32},
    {1, TensorDtype::F16},
    {2, TensorDtype::Q4_0},
    {3, TensorDtype::Q4_1},
    {6, TensorDtype::Q5_0},
    {7, TensorDtype::Q5_1},
    {8, TensorDtype::Q8_0},
    {12, TensorDtype::Q4_K},
    {13, TensorDtype::Q5_K},
    {14, TensorDtype::Q6_K},
    {24, TensorDtype::I8},
    {25, TensorDtype::I16},
    {26, TensorDtype::I32},
    {27, TensorDtype::I64},
    {28, TensorDtype::F64},
    {30, TensorDtype::BF16},
}};

// Bytes of one element; 0 for strings and arrays, whose lengths are their own.
std::size_t fixed_bytes(GgufType type) {
  switch (type) {
    case GgufType::uint8:
    case GgufType::int8:
    case GgufType::boolean:
      return 1;
    case GgufType::uint16:
    case GgufType::int16:
      return 2;
    case GgufType::uint32:
    case GgufType::int32:
    case GgufType::float32:
      return 4;
    case GgufType::uint64:
    case GgufType::int64:
    case GgufType::float64:
      return 8;
    case GgufType::string:
    case GgufType::array:
      return 0;
  }
  return 0;
}

// A tensor as the table describes it.
struct TableEntry {
  TensorView view;
  std::uint64_t offset;
  std::uint64_t bytes;
};

}  // namespace

// Reads the file from front to back; what_ names what is being read, for errors.
class GgufReader {
 public:
  GgufReader(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  GgufContents read() {
    GgufContents contents;
    contents.version = read_version();
    const std::uint64_t num_tensors = number<std::uint64_t>("the number of tensors");
    const std::uint64_t num_values = number<std::uint64_t>("the number of metadata values");
    // A value takes at least 13 bytes and a tensor at least 24, so that no count can ask for more than the
    // file.
    refuse_count(num_values, 13, "metadata values");
    for (std::uint64_t i = 0; i < num_values; ++i) contents.metadata.push_back(read_value());
    refuse_repeated(
        contents.metadata, [](const GgufValue& value) -> const std::string& { return value.key_; },
        "metadata ");
    refuse_count(num_tensors, 24, "tensors");
    std::vector<TableEntry> entries;
    for (std::uint64_t i = 0; i < num_tensors; ++i) entries.push_back(read_entry());
    place(entries, read_alignment(contents));
    for (TableEntry& entry : entries) contents.tensors.push_back(std::move(entry.view));
    refuse_repeated(
        contents.tensors, [](const TensorView& tensor) -> const std::string& { return tensor.name; },
        "tensor ");
    return contents;
  }

 private:
  [[noreturn]] void fail(const std::string& message, const std::string& what = {}) const {
    throw Error(ErrorCode::invalid_file, message, what.empty() ? file_ : file_ + ": " + what);
  }

  std::size_t left() const { return bytes_.size() - at_; }

  std::span<const std::byte> take(std::uint64_t count, const std::string& what) {
    if (count > left())
      fail("takes " + std::to_string(count) + " bytes, but only " + std::to_string(left()) +
               " are left: the file is cut short",
           what);
    const auto taken = bytes_.subspan(at_, static_cast<std::size_t>(count));
    at_ += taken.size();
    return taken;
  }

  template <typename T>
  T number(const std::string& what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string_view text(const std::string& what) {
    const auto length = number<std::uint64_t>(what);
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void refuse_count(std::uint64_t count, std::uint64_t least_bytes, const std::string& what) const {
    if (count > left() / least_bytes)
      fail("claims " + std::to_string(count) + " " + what + ", but only " + std::to_string(left()) +
           " bytes are left");
  }

  template <typename Items, typename Name>
  void refuse_repeated(const Items& items, Name name, const std::string& what) const {
    std::vector<std::string_view> names;
    for (const auto& item : items) names.push_back(name(item));
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) fail("stands in the file twice", what + printable(*twice));
  }

  std::uint32_t read_version() {
    if (bytes_.size() < 24 || std::memcmp(bytes_.data(), kMagic.data(), kMagic.size()) != 0)
      fail("not a GGUF file: it does not begin with \"GGUF\" and a header of 24 bytes");
    at_ = kMagic.size();
    const auto version = number<std::uint32_t>("version");
    if (version == 2 || version == 3) return version;
    const bool swapped = (version & 0xffffu) == 0 && version != 0;
    throw Error(ErrorCode::unsupported,
                swapped ? "is big-endian; read are little-endian files"
                        : "has version " + std::to_string(version) + "; read are versions 2 and 3",
                file_);
  }

  GgufType read_type(const std::string& what) {
    const auto type = number<std::uint32_t>(what);
    if (type > static_cast<std::uint32_t>(GgufType::float64))
      fail("has the unknown type " + std::to_string(type), what);
    return static_cast<GgufType>(type);
  }

  // Moves behind `count` values of a type, each checked to lie in the file.
  void skip(GgufType type, std::uint64_t count, int level, const std::string& what) {
    if (const std::size_t each = fixed_bytes(type)) {
      const auto bytes = checked_mul(count, static_cast<std::uint64_t>(each));
      if (!bytes) fail("claims " + std::to_string(count) + " elements, more than any file holds", what);
      take(*bytes, what);
      return;
    }
    if (count > left() / 8)
      fail("claims " + std::to_string(count) + " elements, but only " + std::to_string(left()) +
               " bytes are left",
           what);
    if (type == GgufType::array && level == kMostArrayLevels)
      fail("nests arrays deeper than " + std::to_string(kMostArrayLevels) + " levels", what);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (type == GgufType::string) {
        text(what);
        continue;
      }
      const GgufType inner = read_type(what);
      skip(inner, number<std::uint64_t>(what), level + 1, what);
    }
  }

  GgufValue read_value() {
    GgufValue value;
    value.file_ = file_;
    const std::string_view key = text("a metadata key");
    if (key.empty() || key.size() > kMostKeyBytes)
      fail("a metadata key has " + std::to_string(key.size()) + " bytes, expected 1 to " +
           std::to_string(kMostKeyBytes));
    value.key_ = key;
    const std::string what = "metadata " + printable(key);
    value.type_ = value.element_type_ = read_type(what);
    if (value.is_array()) {
      value.element_type_ = read_type(what);
      value.size_ = static_cast<std::size_t>(number<std::uint64_t>(what));
    }
    const std::size_t begin = at_;
    skip(value.element_type_, value.size_, 1, what);
    value.bytes_ = bytes_.subspan(begin, at_ - begin);
    return value;
  }

  TensorDtype read_dtype(const std::string& what) {
    const auto number_in_file = number<std::uint32_t>(what);
    std::string known;
    for (const TensorType& type : kTensorTypes) {
      if (type.number == number_in_file) return type.dtype;
      known += (known.empty() ? "" : ", ") + std::string(tensor_dtype_name(type.dtype));
    }
    throw Error(
        ErrorCode::unsupported,
        "has the tensor type " + std::to_string(number_in_file) + ", which is not read here; read are " + known,
        file_ + ": " + what);
  }

  TableEntry read_entry() {
    TableEntry entry{};
    const std::string_view name = text("a tensor's name");
    if (name.empty() || name.size() > kMostNameBytes)
      fail("a tensor's name has " + std::to_string(name.size()) + " bytes, expected 1 to " +
           std::to_string(kMostNameBytes));
    entry.view.name = name;
    entry.view.file = file_;
    const std::string what = "tensor " + printable(name);
    const auto dims = number<std::uint32_t>(what);
    if (dims > kMostDims)
      fail("has " + std::to_string(dims) + " dimensions, expected at most " + std::to_string(kMostDims), what);
    std::optional<std::int64_t> elements = 1;
    for (std::uint32_t i = 0; i < dims; ++i) {
      const auto size = static_cast<std::int64_t>(number<std::uint64_t>(what));
      if (size < 0 || !(elements = checked_mul(*elements, size))) fail("its shape overflows 64 bits", what);
      entry.view.shape.insert(entry.view.shape.begin(), size);  // the file has the fastest dimension first
    }
    entry.view.dtype = read_dtype(what);
    const std::int64_t block = tensor_block_elements(entry.view.dtype);
    const std::int64_t cols = dims == 0 ? 1 : entry.view.shape.back();
    if (cols % block != 0)
      fail("has rows of " + std::to_string(cols) + " numbers, but " +
               std::string(tensor_dtype_name(entry.view.dtype)) + " stores blocks of " + std::to_string(block),
           what);
    const auto bytes =
        checked_mul(*elements / block, static_cast<std::int64_t>(tensor_dtype_bytes(entry.view.dtype)));
    if (!bytes) fail("its shape overflows 64 bits", what);
    entry.bytes = static_cast<std::uint64_t>(*bytes);
    entry.offset = number<std::uint64_t>(what);
    return entry;
  }

  static std::uint64_t read_alignment(const GgufContents& contents) {
    const GgufValue* value = contents.find("general.alignment");
    if (value == nullptr) return 32;
    const std::int64_t alignment = value->as_int(1, kMostAlignment);
    if ((alignment & (alignment - 1)) != 0 || alignment % 8 != 0)
      value->fail("expected a power of two of at least 8, found " + std::to_string(alignment));
    return static_cast<std::uint64_t>(alignment);
  }

  // Gives every tensor its bytes, behind the table and the padding; none may overlap another.
  void place(std::vector<TableEntry>& entries, std::uint64_t alignment) {
    const std::uint64_t begin = (at_ + alignment - 1) / alignment * alignment;
    const std::uint64_t data_bytes = begin > bytes_.size() ? 0 : bytes_.size() - begin;
    for (TableEntry& entry : entries) {
      const std::string what = "tensor " + printable(entry.view.name);
      if (entry.offset % alignment != 0)
        fail("begins at byte " + std::to_string(entry.offset) + " of the data, no multiple of the alignment " +
                 std::to_string(alignment),
             what);
      if (entry.offset > data_bytes || entry.bytes > data_bytes - entry.offset)
        fail("takes " + std::to_string(entry.bytes) + " bytes from byte " + std::to_string(entry.offset) +
                 " of the data, which has " + std::to_string(data_bytes) + ": the file is cut short",
             what);
      if (entry.bytes > 0)
        entry.view.data = bytes_.subspan(static_cast<std::size_t>(begin + entry.offset),
                                         static_cast<std::size_t>(entry.bytes));
    }
    std::vector<const TableEntry*> placed;
    for (const TableEntry& entry : entries)
      if (entry.bytes > 0) placed.push_back(&entry);
    std::sort(placed.begin(), placed.end(),
              [](const TableEntry* a, const TableEntry* b) { return a->offset < b->offset; });
    for (std::size_t i = 1; i < placed.size(); ++i)
      if (placed[i]->offset < placed[i - 1]->offset + placed[i - 1]->bytes)
        fail("overlaps tensor " + printable(placed[i - 1]->view.name),
             "tensor " + printable(placed[i]->view.name));
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::size_t at_ = 0;
};

const GgufValue* GgufContents::find(std::string_view key) const {
  const auto found = std::find_if(metadata.begin(), metadata.end(),
                                  [&](const GgufValue& value) { return value.key() == key; });
  return found == metadata.end() ? nullptr : &*found;
}

GgufContents read_gguf(std::span<const std::byte> bytes, const std::string& file) {
  return GgufReader(bytes, file).read();
}

GgufFile::GgufFile(MappedFile mapping)
    : mapping_(std::move(mapping)), contents_(read_gguf(mapping_.bytes(), mapping_.path())) {}

GgufFile GgufFile::open(const std::string& path) { return GgufFile(MappedFile(path)); }

const GgufValue& GgufFile::at(std::string_view key) const {
  if (const GgufValue* value = find(key)) return *value;
  throw Error(ErrorCode::invalid_file, "is missing", path() + ": metadata " + printable(key));
}

bool is_gguf_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  std::array<char, 4> magic{};
  std::ifstream in(path, std::ios::binary);
  return in.read(magic.data(), magic.size()) && std::string_view(magic.data(), magic.size()) == kMagic;
}

std::string find_gguf(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (is_gguf_file(path)) return path;
  if (!fs::is_directory(path, ignored) || fs::exists(fs::path(path) / "config.json", ignored)) return {};
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(path, ignored))
    if (entry.path().extension() == ".gguf" && is_gguf_file(entry.path().string()))
      found.push_back(entry.path().string());
  if (found.size() <= 1) return found.empty() ? std::string() : found.front();
  std::sort(found.begin(), found.end());
  std::string names;
  for (const std::string& file : found)
    names += (names.empty() ? "" : ", ") + printable(fs::path(file).filename().string());
  throw Error(ErrorCode::invalid_file,
              "holds " + std::to_string(found.size()) + " GGUF files (" + names + "): name one of them", path);
}

}  // namespace octet::files
