// Any bytes as a GGUF file: refused with an Error, or read into metadata that converts or says why not, and
// tensors that lie inside the bytes; and then as a checkpoint.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <span>

#include "base/error.h"
#include "files/gguf.h"
#include "files/gguf_checkpoint.h"

namespace {

using octet::files::GgufValue;

template <typename Convert>
void convert(const GgufValue& value, Convert convert) {
  try {
    convert(value);
  } catch (const octet::Error&) {
  }
}

void convert_in_every_way(const GgufValue& value) {
  constexpr auto least = std::numeric_limits<std::int64_t>::min(),
                 most = std::numeric_limits<std::int64_t>::max();
  convert(value, [](const GgufValue& v) { v.as_bool(); });
  convert(value, [](const GgufValue& v) { v.as_int(least, most); });
  convert(value, [](const GgufValue& v) { v.as_double(); });
  convert(value, [](const GgufValue& v) { v.as_string(); });
  convert(value, [](const GgufValue& v) { v.as_strings(); });
  convert(value, [](const GgufValue& v) { v.as_ints(least, most); });
  convert(value, [](const GgufValue& v) { v.as_floats(); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  try {
    const std::less_equal<> before;
    const octet::files::GgufContents contents = octet::files::read_gguf(bytes, "fuzz");
    for (const GgufValue& value : contents.metadata) convert_in_every_way(value);
    for (const octet::files::TensorView& tensor : contents.tensors) {
      if (tensor.data.empty()) continue;
      if (!before(bytes.data(), tensor.data.data()) ||
          !before(tensor.data.data() + tensor.data.size(), bytes.data() + bytes.size()))
        std::abort();
      std::int64_t elements = 1;
      for (const std::int64_t each : tensor.shape) elements *= each;
      if (tensor.elements() != elements) std::abort();
    }
    const octet::files::GgufCheckpoint translated = octet::files::translate_gguf(contents, "fuzz");
    for (const octet::files::TensorView& tensor : translated.tensors)
      if (tensor.data.size() * static_cast<std::size_t>(tensor_block_elements(tensor.dtype)) !=
          static_cast<std::size_t>(tensor.elements()) * tensor_dtype_bytes(tensor.dtype))
        std::abort();
  } catch (const octet::Error&) {
  }
  return 0;
}
