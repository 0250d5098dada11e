#include "model/kv_scale_tensor.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

namespace octet::model {

namespace {

using files::TensorDtype;
using files::TensorView;

// Scales beyond these could not come from any activation; 448 times them must also stay finite.
constexpr float kLeastScale = 0x1p-40f;
constexpr float kMostScale = 0x1p40f;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text.append(text.size() > 1 ? ", " : "").append(std::to_string(size));
  return text + "]";
}

std::string number_text(float value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace

ReadScale read_scale(const TensorView& tensor, int heads) {
  const bool is_float =
      tensor.dtype == TensorDtype::F32 || tensor.dtype == TensorDtype::F16 || tensor.dtype == TensorDtype::BF16;
  if (!is_float)
    return {{}, "expected F32, F16 or BF16, found " + std::string(tensor_dtype_name(tensor.dtype))};
  const auto is_one_or_heads = [&](std::int64_t size) { return size == 1 || size == heads; };
  const std::int64_t count = tensor.elements();
  if (!(count == 1 || count == heads) ||
      !std::all_of(tensor.shape.begin(), tensor.shape.end(), is_one_or_heads))
    return {{},
            "expected one value or one a head, [" + std::to_string(heads) + ", 1, 1], found the shape " +
                shape_text(tensor.shape)};
  ReadScale read{tensor.to_floats(), {}};
  for (std::size_t head = 0; head < read.values.size() && read.fault.empty(); ++head) {
    const float value = read.values[head];
    // Written so that NaN is a fault too.
    if (value >= kLeastScale && value <= kMostScale) continue;
    read.fault = "the scale ";
    if (count > 1) read.fault += "of head " + std::to_string(head) + " ";
    read.fault += "is " + number_text(value) + "; expected a number from 2^-40 to 2^40";
  }
  return read;
}

bool is_all_zero(const TensorView& tensor) {
  switch (tensor.dtype) {
    case TensorDtype::F32:
    case TensorDtype::F16:
    case TensorDtype::BF16:
    case TensorDtype::F8_E4M3:
    case TensorDtype::F8_E5M2: {
      const std::vector<float> values = tensor.to_floats();
      return std::all_of(values.begin(), values.end(), [](float value) { return value == 0.0f; });
    }
    default:
      return std::all_of(tensor.data.begin(), tensor.data.end(),
                         [](std::byte byte) { return byte == std::byte{0}; });
  }
}

std::optional<AttentionTensor> parse_attention_tensor(std::string_view name) {
  constexpr std::string_view kBefore = "model.layers.", kAfter = ".self_attn.";
  if (!name.starts_with(kBefore)) return std::nullopt;
  name.remove_prefix(kBefore.size());
  const std::size_t digits = name.find('.');
  int layer = 0;
  if (digits == std::string_view::npos || digits > 6 || (digits > 1 && name[0] == '0')) return std::nullopt;
  const auto parsed = std::from_chars(name.data(), name.data() + digits, layer);
  if (parsed.ec != std::errc() || parsed.ptr != name.data() + digits || name[0] == '-') return std::nullopt;
  name.remove_prefix(digits);
  if (!name.starts_with(kAfter)) return std::nullopt;
  return AttentionTensor{layer, name.substr(kAfter.size())};
}

}  // namespace octet::model
