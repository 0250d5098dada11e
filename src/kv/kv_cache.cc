#include "kv/kv_cache.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/checked.h"
#include "base/error.h"

namespace octet::kv {

namespace {

void check_count(const std::string& what, int expected, std::size_t found) {
  if (found == static_cast<std::size_t>(expected)) return;
  throw Error(ErrorCode::invalid_argument,
              "expected " + std::to_string(expected) + ", found " + std::to_string(found), "number of " + what);
}

void check_scales(const KvLayout& layout, const LayerScales& scales) {
  check_count("k scales in a layer", layout.num_kv_heads, scales.k.size());
  check_count("v scales in a layer", layout.num_kv_heads, scales.v.size());
}

void check_scales(const KvLayout& layout, const KvScales& scales) {
  check_count("layers with KV scales", layout.num_layers(), scales.layers.size());
  for (const LayerScales& layer : scales.layers) check_scales(layout, layer);
}

// A 16-bit layer among FP8 ones has scales too where the checkpoint has them for all; dividing by them could
// only overflow.
LayerScales scales_in_use(const LayerDtypes& dtypes, LayerScales scales) {
  if (!takes_scale(dtypes.k)) std::fill(scales.k.begin(), scales.k.end(), 1.0f);
  if (!takes_scale(dtypes.v)) std::fill(scales.v.begin(), scales.v.end(), 1.0f);
  return scales;
}

KvScales scales_in_use(const KvLayout& layout, KvScales scales) {
  for (std::size_t layer = 0; layer < scales.layers.size(); ++layer)
    scales.layers[layer] = scales_in_use(layout.layers[layer], std::move(scales.layers[layer]));
  return scales;
}

}  // namespace

KvCache::KvCache(KvLayout layout, std::int32_t num_blocks, KvScales scales)
    : layout_((layout.validate(), std::move(layout))),
      scales_((check_scales(layout_, scales), scales_in_use(layout_, std::move(scales)))),
      pool_(num_blocks) {
  const auto total = checked_mul<std::int64_t>(layout_.bytes_per_block(), num_blocks);
  if (total) memory_ = HugeMemory(static_cast<std::size_t>(*total));
  if (memory_.data() == nullptr)
    throw Error(ErrorCode::out_of_memory,
                "cannot reserve " + std::to_string(num_blocks) + " blocks of " +
                    std::to_string(layout_.bytes_per_block()) + " bytes",
                "KV cache");

  std::byte* cursor = memory_.data();
  for (int layer = 0; layer < layout_.num_layers(); ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    kernels::KvView view;
    view.k = cursor;
    cursor += layout_.k_block_bytes(layer) * num_blocks;
    view.v = cursor;
    cursor += layout_.v_block_bytes(layer) * num_blocks;
    view.k_scale = scales_.layers[index].k.data();
    view.v_scale = scales_.layers[index].v.data();
    view.k_dtype = layout_.layers[index].k;
    view.v_dtype = layout_.layers[index].v;
    view.num_kv_heads = layout_.num_kv_heads;
    view.head_dim = layout_.head_dim;
    view.block_size = layout_.block_size;
    view.k_tile = kernels::k_tile_slots(layout_.block_size);
    views_.push_back(view);
  }
}

void KvCache::set_scales(int layer, LayerScales scales) {
  check_scales(layout_, scales);
  const auto index = static_cast<std::size_t>(layer);
  OCTET_CHECK(index < scales_.layers.size());
  scales_.layers[index] = scales_in_use(layout_.layers[index], std::move(scales));
  views_[index].k_scale = scales_.layers[index].k.data();
  views_[index].v_scale = scales_.layers[index].v.data();
}

std::int64_t KvCache::total_bytes() const { return layout_.bytes_per_block() * pool_.num_blocks(); }

}  // namespace octet::kv
