// Checkpoint: a Hugging Face model directory, opened: its config and its tensors, mapped read-only; or a GGUF
// file in the same terms (files/gguf_checkpoint.h).
//
// Tensor bytes are views into the mappings and live as long as the Checkpoint. Opening checks every
// header completely (see docs/safetensors.md); tensor bytes are read only when somebody looks at them, unless
// copy_to_memory() brings all of them in. Thread-safe after that.
// Source: the safetensors format description (huggingface/safetensors 0.8), transformers' sharded index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "files/json_value.h"
#include "numeric/weight_blocks.h"

namespace octet::files {

// The dtype as the safetensors header spells it; then those that only GGUF files have, as ggml spells them,
// which store a row in blocks (numeric/weight_blocks.h).
enum class TensorDtype : std::uint8_t {
  F64,
  F32,
  F16,
  BF16,
  F8_E4M3,
  F8_E5M2,
  I64,
  I32,
  I16,
  I8,
  U64,
  U32,
  U16,
  U8,
  BOOL,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  Q4_K,
  Q5_K,
  Q6_K
};
std::string_view tensor_dtype_name(TensorDtype dtype);
// Numbers of a block, 1 but for the block dtypes; and the bytes of a block.
int tensor_block_elements(TensorDtype dtype);
std::size_t tensor_dtype_bytes(TensorDtype dtype);
// Empty where the dtype has no blocks.
std::optional<WeightFormat> tensor_block_format(TensorDtype dtype);

struct TensorView {
  std::string name;
  std::string file;  // the path of the safetensors or GGUF file, for errors
  TensorDtype dtype = TensorDtype::F32;
  std::vector<std::int64_t> shape;  // [] for a scalar
  // Little-endian, row-major, exactly shape * dtype bytes; in a Checkpoint aligned for the dtype.
  std::span<const std::byte> data;

  std::int64_t elements() const;
  // All elements as float; F32, F16, BF16, F8_E4M3, F8_E5M2 and blocks only, else throws Error{unsupported}.
  std::vector<float> to_floats() const;
  // Throws Error of this code with "FILE: tensor NAME" as context.
  [[noreturn]] void fail(const std::string& message) const;
};

class Checkpoint {
 public:
  // Opens `directory`: config.json, then model.safetensors or model.safetensors.index.json with its shards.
  // Where it is a GGUF file, or a folder without config.json that holds one, opens that instead. Throws Error:
  // not_found (no directory, no config, no weights, a shard missing; naming what a checkpoint needs),
  // invalid_file (any header that is short, lies, overlaps, overflows or disagrees with the index); of a GGUF
  // file as read_gguf and translate_gguf.
  static Checkpoint open(const std::string& directory);
  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;

  const std::string& directory() const;  // the path as it was opened
  bool is_gguf() const;
  const JsonValue& config() const;                     // config.json, or what it would be
  std::optional<JsonValue> generation_config() const;  // generation_config.json, where there is one
  const std::vector<std::string>& notices() const;     // what a GGUF file leaves open and how it is taken

  // Sorted by name.
  const std::vector<TensorView>& tensors() const;
  const TensorView* find(std::string_view name) const;  // null where absent
  // Throws Error{invalid_file} naming the tensor, and the nearest name that exists.
  const TensorView& at(std::string_view name) const;

  std::int64_t weight_bytes() const;  // of all tensors

  // Copies every file into memory on huge pages and drops its mapping, so that whoever reads all weights again
  // and again does not walk 4 KiB pages. Changes where the tensors' data stands: call it before looking.
  // Where the system refuses the memory, files stay mapped and the result is false.
  bool copy_to_memory(ThreadPool& pool);

  // Gives back the memory of bytes that were read and will not be again soon; they stay readable. Does nothing
  // where they were copied.
  void give_back(std::span<const std::byte> bytes) const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<Impl> impl);
  static Checkpoint open_gguf(const std::string& path, const std::string& file);
  std::unique_ptr<Impl> impl_;
};

}  // namespace octet::files
