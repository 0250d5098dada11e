// Any bytes as a safetensors file: refused with an Error, or read into views that lie inside the bytes.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <span>

#include "base/error.h"
#include "files/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  try {
    const std::less_equal<> before;
    for (const octet::files::TensorView& tensor : octet::files::read_safetensors(bytes, "fuzz").tensors) {
      const std::byte* const end = tensor.data.data() + tensor.data.size();
      if (!before(bytes.data(), tensor.data.data()) || !before(end, bytes.data() + bytes.size())) std::abort();
      if (static_cast<std::size_t>(tensor.elements()) * tensor_dtype_bytes(tensor.dtype) != tensor.data.size())
        std::abort();
    }
  } catch (const octet::Error&) {
  }
  return 0;
}
