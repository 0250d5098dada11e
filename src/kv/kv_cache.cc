#include "kv/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "numeric/fp8.h"

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

constexpr float kLargestFloat16 = 65504.0f;

// Of magnitudes times their scale; 0 where nothing saturates: bfloat16 and float32 hold what a float does, and
// the per-token-head dtypes make a scale for each vector.
float largest_stored(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::fp8_e4m3:
      return fp8_e4m3::max;
    case KvDtype::fp8_e5m2:
      return fp8_e5m2::max;
    case KvDtype::float16:
      return kLargestFloat16;
    default:
      return 0;
  }
}

std::vector<std::int32_t> saturation_limits(KvDtype dtype, const std::vector<float>& scales) {
  std::vector<std::int32_t> limits;
  const float largest = largest_stored(dtype);
  if (largest > 0)
    for (const float scale : scales) limits.push_back(std::bit_cast<std::int32_t>(largest * scale));
  return limits;
}

// Magnitudes of floats are ordered as their bits are, those of infinities and NaNs above all; integers, so that
// any compiler makes vectors of them.
void count_above(std::span<const std::int32_t> limits, const float* x, int head_dim,
                 std::atomic<std::int64_t>& count) {
  std::int32_t above = 0;
  for (const std::int32_t limit : limits) {
    for (int i = 0; i < head_dim; ++i)
      above += (std::bit_cast<std::int32_t>(x[i]) & 0x7fffffff) > limit ? 1 : 0;
    x += head_dim;
  }
  if (above > 0) count.fetch_add(above, std::memory_order_relaxed);
}

// What all groups need together.
HugeMemory reserve(const KvLayout& layout, const std::vector<KvGroup>& groups,
                   std::span<const std::int32_t> num_blocks) {
  std::optional<std::int64_t> total = 0;
  std::string what;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    const std::int64_t block_bytes = layout.bytes_per_block(groups[group]);
    const auto bytes = checked_mul<std::int64_t>(block_bytes, num_blocks[group]);
    total = total && bytes ? checked_add(*total, *bytes) : std::nullopt;
    what += (group > 0 ? ", " : "") + std::to_string(num_blocks[group]) + " blocks of " +
            std::to_string(block_bytes) + " bytes";
  }
  HugeMemory memory;
  if (total) memory = HugeMemory(static_cast<std::size_t>(*total));
  if (memory.data() == nullptr) throw Error(ErrorCode::out_of_memory, "cannot reserve " + what, "KV cache");
  return memory;
}

// Marks a content seed, so that it is never the id of a block's contents.
constexpr ContentId kSeedBit = ContentId{1} << 63;

ContentId seed_of(const KvLayout& layout, const KvScales& scales) {
  ContentId seed = scales.fingerprint();
  const auto mix = [&](std::uint64_t value) {
    seed = (seed ^ value) * 0x9e3779b97f4a7c15u;
    seed ^= seed >> 32;
  };
  for (const LayerDtypes& dtypes : layout.layers)
    mix(static_cast<std::uint64_t>(dtypes.k) << 8 | static_cast<std::uint64_t>(dtypes.v));
  for (const int number : {layout.num_kv_heads, layout.head_dim, layout.block_size})
    mix(static_cast<std::uint64_t>(number));
  return seed | kSeedBit;
}

}  // namespace

KvCache::KvCache(KvLayout layout, std::int32_t num_blocks, KvScales scales)
    : KvCache(layout, std::vector<std::int32_t>(layout.groups().size(), num_blocks), std::move(scales)) {}

KvCache::KvCache(KvLayout layout, std::span<const std::int32_t> num_blocks, KvScales scales)
    : layout_((layout.validate(), std::move(layout))),
      scales_((check_scales(layout_, scales), scales_in_use(layout_, std::move(scales)))),
      groups_(layout_.groups()),
      group_of_(layout_.layers.size()),
      pools_(num_blocks.begin(), num_blocks.end()),
      k_saturated_(layout_.layers.size()),
      v_saturated_(layout_.layers.size()) {
  OCTET_CHECK(num_blocks.size() == groups_.size());
  memory_ = reserve(layout_, groups_, num_blocks);
  for (std::size_t group = 0; group < groups_.size(); ++group)
    for (const int layer : groups_[group].layers)
      group_of_[static_cast<std::size_t>(layer)] = static_cast<int>(group);

  std::byte* cursor = memory_.data();
  for (int layer = 0; layer < layout_.num_layers(); ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    const std::int64_t blocks = pool(group_of(layer)).num_blocks();
    kernels::KvView view;
    view.k = cursor;
    cursor += layout_.k_block_bytes(layer) * blocks;
    view.v = cursor;
    cursor += layout_.v_block_bytes(layer) * blocks;
    view.k_scale = scales_.layers[index].k.data();
    view.v_scale = scales_.layers[index].v.data();
    view.k_dtype = layout_.layers[index].k;
    view.v_dtype = layout_.layers[index].v;
    view.num_kv_heads = layout_.num_kv_heads;
    view.head_dim = layout_.head_dim;
    view.block_size = layout_.block_size;
    view.k_tile = kernels::k_tile_slots(layout_.block_size);
    views_.push_back(view);
    set_saturation_limits(layer);
  }
  content_seed_ = seed_of(layout_, scales_);
}

void KvCache::set_scales(int layer, LayerScales scales) {
  check_scales(layout_, scales);
  const auto index = static_cast<std::size_t>(layer);
  OCTET_CHECK(index < scales_.layers.size());
  scales_.layers[index] = scales_in_use(layout_.layers[index], std::move(scales));
  views_[index].k_scale = scales_.layers[index].k.data();
  views_[index].v_scale = scales_.layers[index].v.data();
  set_saturation_limits(layer);
  content_seed_ = seed_of(layout_, scales_);
}

void KvCache::set_saturation_limits(int layer) {
  const auto index = static_cast<std::size_t>(layer);
  k_saturated_[index].limits = saturation_limits(layout_.layers[index].k, scales_.layers[index].k);
  v_saturated_[index].limits = saturation_limits(layout_.layers[index].v, scales_.layers[index].v);
}

void KvCache::copy_block(BlockId from, BlockId to, int group) {
  const std::int32_t most = pool(group).num_blocks();
  OCTET_CHECK(from >= 0 && from < most && to >= 0 && to < most && from != to);
  const auto copy = [&](std::byte* blocks, std::int64_t bytes) {
    std::memcpy(blocks + to * bytes, blocks + from * bytes, static_cast<std::size_t>(bytes));
  };
  for (const int layer : groups_[static_cast<std::size_t>(group)].layers) {
    copy(view(layer).k, layout_.k_block_bytes(layer));
    copy(view(layer).v, layout_.v_block_bytes(layer));
  }
}

void KvCache::count_saturated(int layer, const float* k, const float* v) noexcept {
  const auto index = static_cast<std::size_t>(layer);
  count_above(k_saturated_[index].limits, k, layout_.head_dim, k_saturated_[index].count);
  count_above(v_saturated_[index].limits, v, layout_.head_dim, v_saturated_[index].count);
}

SaturatedValues KvCache::saturated_values(int layer) const {
  const auto index = static_cast<std::size_t>(layer);
  return {k_saturated_.at(index).count.load(std::memory_order_relaxed),
          v_saturated_.at(index).count.load(std::memory_order_relaxed)};
}

std::int64_t KvCache::total_bytes() const {
  std::int64_t bytes = 0;
  for (std::size_t group = 0; group < groups_.size(); ++group)
    bytes += layout_.bytes_per_block(groups_[group]) * pools_[group].num_blocks();
  return bytes;
}

}  // namespace octet::kv
