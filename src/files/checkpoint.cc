#include "files/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/huge_memory.h"
#include "files/gguf_checkpoint.h"
#include "files/hub_cache.h"
#include "files/mapped_file.h"
#include "files/printable.h"
#include "files/safetensors.h"

namespace octet::files {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

// False also where the system will not say.
bool stands(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// The smallest number of inserted, removed and changed characters that makes `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

// The shard files of the index, in name order, each with the tensors that the index puts there.
std::map<std::string, std::vector<std::string>> read_index(const JsonValue& index) {
  const JsonValue weight_map = index.at("weight_map");
  std::map<std::string, std::vector<std::string>> shards;
  for (const std::string& tensor : weight_map.keys()) {
    const JsonValue value = weight_map.at(tensor);
    const std::string shard = value.as_string();
    // A name must not lead out of the checkpoint's folder.
    const bool plain = !shard.empty() && shard != "." && shard != ".." &&
                       shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain) value.fail("expected the name of a file beside the index, found \"" + printable(shard) + "\"");
    shards[shard].push_back(tensor);
  }
  if (shards.empty()) weight_map.fail("names no tensor");
  return shards;
}

}  // namespace

struct Checkpoint::Impl {
  std::string directory;
  bool gguf = false;
  JsonValue config;
  std::optional<JsonValue> generation_config;
  std::vector<std::string> notices;
  std::vector<MappedFile> mappings;
  std::vector<HugeMemory> memories;                  // in place of mappings
  std::vector<std::unique_ptr<std::byte[]>> copies;  // of tensors that stand otherwise in their file
  std::vector<TensorView> tensors;

  Impl(std::string dir, JsonValue config_json) : directory(std::move(dir)), config(std::move(config_json)) {}

  std::string path(const std::string& name) const { return (fs::path(directory) / name).string(); }

  void add_file(const std::string& file) {
    mappings.emplace_back(file);
    for (TensorView& tensor : read_safetensors(mappings.back().bytes(), file).tensors) {
      align(tensor);
      tensors.push_back(std::move(tensor));
    }
  }

  void sort() {
    std::sort(tensors.begin(), tensors.end(),
              [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  }

  // The format lets tensors stand anywhere; whoever computes with them reads whole elements.
  void align(TensorView& tensor) {
    const auto address = reinterpret_cast<std::uintptr_t>(tensor.data.data());
    if (tensor.data.empty() || address % tensor_dtype_bytes(tensor.dtype) == 0) return;
    copies.push_back(std::make_unique<std::byte[]>(tensor.data.size()));
    std::memcpy(copies.back().get(), tensor.data.data(), tensor.data.size());
    tensor.data = {copies.back().get(), tensor.data.size()};
  }

  void add_shards() {
    const JsonValue index = JsonValue::read_file(path(kIndexFile));
    for (auto& [shard, names] : read_index(index)) {
      const std::string file = path(shard);
      if (!stands(file))
        throw Error(ErrorCode::not_found, "the shard " + printable(shard) + " is missing", path(kIndexFile));
      const std::size_t first = tensors.size();
      add_file(file);
      compare_with_index(names, {tensors.begin() + static_cast<std::ptrdiff_t>(first), tensors.end()});
    }
  }

  // A shard holds exactly the tensors that the index puts there; so no tensor stands in two shards.
  void compare_with_index(std::vector<std::string>& names, std::span<const TensorView> in_shard) const {
    std::sort(names.begin(), names.end());
    for (const TensorView& tensor : in_shard)
      if (!std::binary_search(names.begin(), names.end(), tensor.name))
        tensor.fail(std::string("stands in this shard, but not according to ") + kIndexFile);
    if (in_shard.size() == names.size()) return;
    std::vector<std::string> held;
    for (const TensorView& tensor : in_shard) held.push_back(tensor.name);
    std::sort(held.begin(), held.end());
    for (const std::string& name : names)
      if (!std::binary_search(held.begin(), held.end(), name))
        throw Error(ErrorCode::invalid_file, "tensor " + printable(name) + " is not in the shard that names it",
                    path(kIndexFile));
  }
};

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

Checkpoint Checkpoint::open(const std::string& directory) {
  if (const std::string file = find_gguf(directory); !file.empty()) return open_gguf(directory, file);
  const auto missing = [&](const std::string& what) {
    throw Error(ErrorCode::not_found,
                what +
                    "; a checkpoint is a folder with config.json and model.safetensors, or "
                    "model.safetensors.index.json and its shards, or a GGUF file",
                directory);
  };
  std::error_code ignored;
  if (!stands(directory))
    missing(is_hub_name(directory)
                ? "no such folder, and no such model in the Hugging Face cache, " + hub_cache()
                : "no such folder");
  if (!fs::is_directory(directory, ignored)) missing("not a folder");
  const fs::path folder = directory;
  if (!stands(folder / "config.json")) missing("config.json is missing");

  auto impl = std::make_unique<Impl>(directory, JsonValue::read_file((folder / "config.json").string()));
  if (!impl->config.is_object()) impl->config.fail("expected an object");
  if (stands(folder / "generation_config.json"))
    impl->generation_config = JsonValue::read_file((folder / "generation_config.json").string());

  if (stands(folder / kSingleFile))
    impl->add_file((folder / kSingleFile).string());
  else if (stands(folder / kIndexFile))
    impl->add_shards();
  else
    missing("there are no weights in the safetensors format");
  impl->sort();
  return Checkpoint(std::move(impl));
}

Checkpoint Checkpoint::open_gguf(const std::string& path, const std::string& file) {
  MappedFile mapping(file);
  GgufCheckpoint translated = translate_gguf(read_gguf(mapping.bytes(), file), file);
  auto impl = std::make_unique<Impl>(path, std::move(translated.config));
  impl->gguf = true;
  impl->mappings.push_back(std::move(mapping));
  impl->tensors = std::move(translated.tensors);
  impl->copies = std::move(translated.copies);
  impl->notices = std::move(translated.notices);
  impl->sort();
  return Checkpoint(std::move(impl));
}

bool Checkpoint::is_gguf() const { return impl_->gguf; }
const std::string& Checkpoint::directory() const { return impl_->directory; }
const JsonValue& Checkpoint::config() const { return impl_->config; }
std::optional<JsonValue> Checkpoint::generation_config() const { return impl_->generation_config; }
const std::vector<std::string>& Checkpoint::notices() const { return impl_->notices; }
const std::vector<TensorView>& Checkpoint::tensors() const { return impl_->tensors; }

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto& all = impl_->tensors;
  const auto found =
      std::lower_bound(all.begin(), all.end(), name,
                       [](const TensorView& tensor, std::string_view key) { return tensor.name < key; });
  return found != all.end() && found->name == name ? &*found : nullptr;
}

const TensorView& Checkpoint::at(std::string_view name) const {
  if (const TensorView* tensor = find(name)) return *tensor;
  constexpr std::size_t kLongestGuess = 200;  // comparing is quadratic in the length
  const TensorView* nearest = nullptr;
  std::size_t best = kLongestGuess;
  for (const TensorView& tensor : impl_->tensors) {
    if (tensor.name.size() > kLongestGuess || name.size() > kLongestGuess) continue;
    const std::size_t distance = edit_distance(name, tensor.name);
    if (distance < best) {
      best = distance;
      nearest = &tensor;
    }
  }
  throw Error(ErrorCode::invalid_file,
              "tensor " + printable(name) + " is missing" +
                  (nearest ? "; the nearest name is " + printable(nearest->name) : ""),
              impl_->directory);
}

bool Checkpoint::copy_to_memory(ThreadPool& pool) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  while (!impl_->mappings.empty()) {
    const MappedFile& file = impl_->mappings.back();
    const std::span<const std::byte> bytes = file.bytes();
    HugeMemory memory(bytes.size());
    if (memory.data() == nullptr) return false;
    pool.run((bytes.size() + kPiece - 1) / kPiece, [&](std::size_t piece, int) {
      const std::size_t begin = piece * kPiece;
      const std::size_t end = std::min(begin + kPiece, bytes.size());
      std::memcpy(memory.data() + begin, bytes.data() + begin, end - begin);
      file.give_back(begin, end);  // or the weights would count twice
    });
    for (TensorView& tensor : impl_->tensors)
      if (tensor.data.data() >= bytes.data() && tensor.data.data() < bytes.data() + bytes.size())
        tensor.data = {memory.data() + (tensor.data.data() - bytes.data()), tensor.data.size()};
    impl_->memories.push_back(std::move(memory));
    impl_->mappings.pop_back();
  }
  return true;
}

void Checkpoint::give_back(std::span<const std::byte> bytes) const {
  for (const MappedFile& file : impl_->mappings) {
    const std::byte* const begin = file.bytes().data();
    if (bytes.data() < begin || bytes.data() >= begin + file.bytes().size()) continue;
    const auto first = static_cast<std::size_t>(bytes.data() - begin);
    file.give_back(first, first + bytes.size());
  }
}

std::int64_t Checkpoint::weight_bytes() const {
  std::int64_t total = 0;
  for (const TensorView& tensor : impl_->tensors) total += static_cast<std::int64_t>(tensor.data.size());
  return total;
}

}  // namespace octet::files
