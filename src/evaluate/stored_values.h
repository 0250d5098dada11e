// StoredValues: what a cache gives back, read through the attention kernels themselves.
//
// A query that is a unit vector scores one dimension of a key, and attention to a single position returns its
// value. So this works for every format that the kernels know, and shows what attention sees, scales included.
// Values are exact; keys, which are scores, may differ by the rounding of float32.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"

namespace octet::evaluate {

class StoredValues {
 public:
  StoredValues(const kernels::KernelTable& table, int head_dim);

  // k and v [head_dim] of one position and KV head.
  void read(const kernels::KvView& view, const std::int32_t* block_table, int kv_head, int position, float* k,
            float* v);

 private:
  const kernels::KernelTable& table_;
  int head_dim_;
  std::vector<float> unit_;  // [head_dim, head_dim] the identity
  std::vector<float> out_;   // [kMaxGroup, head_dim]
  std::vector<float> max_, sum_;
};

}  // namespace octet::evaluate
