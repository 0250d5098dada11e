// KvCache: the memory of the paged cache and its scales; hands kernels a KvView a layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/huge_memory.h"
#include "kernels/kv_view.h"
#include "kv/block_pool.h"
#include "kv/kv_layout.h"
#include "kv/kv_scales.h"

namespace octet::kv {

class KvCache {
 public:
  // Reserves num_blocks blocks (touched lazily, on huge pages where the system grants them). Scales are for
  // the dtypes that take them (takes_scale): keys and values of any other dtype are stored as they are.
  // Throws Error{out_of_memory} naming the bytes; invalid_argument where scales do not fit the layout.
  KvCache(KvLayout layout, std::int32_t num_blocks, KvScales scales);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  const KvLayout& layout() const { return layout_; }
  const KvScales& scales() const { return scales_; }
  // Replaces the scales of one layer: nothing that was written there under others is read rightly afterwards,
  // so nothing may have been. Throws Error{invalid_argument} for a wrong number of scales.
  void set_scales(int layer, LayerScales scales);
  BlockPool& pool() { return pool_; }
  const BlockPool& pool() const { return pool_; }
  std::int64_t total_bytes() const;
  const kernels::KvView& view(int layer) const { return views_[static_cast<std::size_t>(layer)]; }

 private:
  KvLayout layout_;
  KvScales scales_;
  BlockPool pool_;
  HugeMemory memory_;
  std::vector<kernels::KvView> views_;
};

}  // namespace octet::kv
