#include "evaluate/stored_values.h"

#include <algorithm>
#include <cstddef>

namespace octet::evaluate {

StoredValues::StoredValues(const kernels::KernelTable& table, int head_dim)
    : table_(table),
      head_dim_(head_dim),
      unit_(static_cast<std::size_t>(head_dim) * static_cast<std::size_t>(head_dim)),
      out_(static_cast<std::size_t>(kernels::kMaxGroup) * static_cast<std::size_t>(head_dim)),
      max_(kernels::kMaxGroup),
      sum_(kernels::kMaxGroup) {
  for (int d = 0; d < head_dim; ++d) unit_[static_cast<std::size_t>(d * (head_dim + 1))] = 1.0f;
}

void StoredValues::read(const kernels::KvView& view, const std::int32_t* block_table, int kv_head, int position,
                        float* k, float* v) {
  for (int first = 0; first < head_dim_; first += kernels::kMaxGroup) {
    const int group = std::min(kernels::kMaxGroup, head_dim_ - first);
    table_.decode_attention({unit_.data() + static_cast<std::ptrdiff_t>(first) * head_dim_, group, 1.0f, &view,
                             kv_head, block_table, position, position + 1, out_.data(), max_.data(),
                             sum_.data()});
    std::copy_n(max_.data(), group, k + first);
  }
  table_.merge_attention({out_.data(), max_.data(), sum_.data(), 1, 1, 1, head_dim_, view.v_scale[kv_head], v});
}

}  // namespace octet::evaluate
