// KvCache: the memory of the paged cache and its scales; hands kernels a KvView a layer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/huge_memory.h"
#include "kernels/kv_view.h"
#include "kv/block_pool.h"
#include "kv/kv_layout.h"
#include "kv/kv_scales.h"

namespace octet::kv {

// Elements of one layer that were stored since the start and that its scales (or float16) could not represent,
// so that the largest value stands for them.
struct SaturatedValues {
  std::int64_t k = 0;
  std::int64_t v = 0;
};

class KvCache {
 public:
  // Reserves num_blocks blocks (touched lazily, on huge pages where the system grants them). Scales are for
  // the dtypes that take them (takes_scale): keys and values of any other dtype are stored as they are.
  // Throws Error{out_of_memory} naming the bytes; invalid_argument where scales do not fit the layout.
  // The number of blocks is one for every group, or one of each [groups].
  KvCache(KvLayout layout, std::int32_t num_blocks, KvScales scales);
  KvCache(KvLayout layout, std::span<const std::int32_t> num_blocks, KvScales scales);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  const KvLayout& layout() const { return layout_; }
  const KvScales& scales() const { return scales_; }
  // Replaces the scales of one layer: nothing that was written there under others is read rightly afterwards,
  // so nothing may have been. Throws Error{invalid_argument} for a wrong number of scales.
  void set_scales(int layer, LayerScales scales);
  // The groups of the layout, and the blocks of one; block ids count from 0 in each.
  const std::vector<KvGroup>& groups() const { return groups_; }
  int group_of(int layer) const { return group_of_[static_cast<std::size_t>(layer)]; }
  BlockPool& pool(int group = 0) { return pools_[static_cast<std::size_t>(group)]; }
  const BlockPool& pool(int group = 0) const { return pools_[static_cast<std::size_t>(group)]; }
  std::int64_t total_bytes() const;
  const kernels::KvView& view(int layer) const { return views_[static_cast<std::size_t>(layer)]; }

  // What the first block of every sequence follows, for PrefixIndex: it stands for layout, dtypes and scales,
  // so that nothing written under others is found.
  ContentId content_seed() const { return content_seed_; }
  // Makes `to` hold what `from` holds, in every layer of the group.
  void copy_block(BlockId from, BlockId to, int group = 0);

  // Counts what saturates of one token's keys and values [num_kv_heads, head_dim], which are to be stored in
  // `layer`: as magnitudes beyond the largest stored value; a NaN counts too. Safe from several threads at
  // once.
  void count_saturated(int layer, const float* k, const float* v) noexcept;
  SaturatedValues saturated_values(int layer) const;

 private:
  // Magnitudes above `limits` saturate; empty where the dtype cannot.
  struct SaturationCounter {
    std::vector<std::int32_t> limits;  // [num_kv_heads], bits of a float
    std::atomic<std::int64_t> count{0};
  };

  void set_saturation_limits(int layer);

  KvLayout layout_;
  KvScales scales_;
  std::vector<KvGroup> groups_;
  std::vector<int> group_of_;     // [num_layers]
  std::vector<BlockPool> pools_;  // [groups]
  HugeMemory memory_;
  std::vector<kernels::KvView> views_;
  ContentId content_seed_ = 0;
  std::vector<SaturationCounter> k_saturated_;  // [num_layers]
  std::vector<SaturationCounter> v_saturated_;  // [num_layers]
};

}  // namespace octet::kv
