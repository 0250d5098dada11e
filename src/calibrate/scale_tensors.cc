#include "calibrate/scale_tensors.h"

#include <algorithm>
#include <string>
#include <utility>

#include "model/kv_scale_tensor.h"

namespace octet::calibrate {

namespace {

using files::OwnedTensor;
using files::TensorDtype;

constexpr float kLeastNormalFloat16 = 0x1p-14f;

bool any_below(const kv::KvScales& scales, float least) {
  const auto below = [&](const std::vector<float>& values) {
    return std::any_of(values.begin(), values.end(), [&](float value) { return value < least; });
  };
  return std::any_of(scales.layers.begin(), scales.layers.end(), [&](const kv::LayerScales& layer) {
    return below(layer.k) || below(layer.v) || below(layer.q);
  });
}

TensorDtype scale_dtype(const kv::KvScales& scales, Dtype weights) {
  if (weights == Dtype::bfloat16) return TensorDtype::BF16;
  if (weights == Dtype::float16 && !any_below(scales, kLeastNormalFloat16)) return TensorDtype::F16;
  return TensorDtype::F32;
}

}  // namespace

std::vector<OwnedTensor> scale_tensors(const kv::KvScales& scales, const model::ModelConfig& config) {
  const TensorDtype dtype = scale_dtype(scales, config.dtype);
  const bool per_head = scales.strategy == kv::ScaleStrategy::attn_head;
  std::vector<OwnedTensor> tensors;
  for (std::size_t layer = 0; layer < scales.layers.size(); ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".self_attn.";
    const kv::LayerScales& found = scales.layers[layer];
    const bool attention = !found.q.empty();
    const auto add = [&](const char* which, std::vector<float> values) {
      if (values.empty()) return;
      if (!per_head) values = {values.front()};
      const auto count = static_cast<std::int64_t>(values.size());
      const std::vector<std::int64_t> shape =
          per_head ? std::vector<std::int64_t>{count, 1, 1} : std::vector<std::int64_t>{1};
      tensors.push_back(OwnedTensor::from_floats(prefix + which + "_scale", dtype, shape, values));
      if (attention)
        tensors.push_back({prefix + which + "_zero_point", TensorDtype::F8_E4M3, shape,
                           std::vector<std::byte>(values.size())});
    };
    add("q", found.q);
    add("k", found.k);
    add("v", found.v);
  }
  return tensors;
}

bool is_scale_tensor(std::string_view name) {
  const auto tensor = model::parse_attention_tensor(name);
  if (!tensor) return false;
  return tensor->rest.ends_with("zero_point") ||
         std::any_of(model::kScaleSpellings.begin(), model::kScaleSpellings.end(),
                     [&](const model::ScaleSpelling& spelling) { return spelling.name == tensor->rest; });
}

}  // namespace octet::calibrate
