// One chunk of the paged cache as float32 panels for multiply_tile: converted once, met by every row.
//
//   keys    [chunk / kTileCols][head_dim][kTileCols]   slots in vector lanes, the order that the cache keeps
//   values  [head_dim / kTileCols][chunk][kTileCols]   dims in vector lanes
//
// Values are divided by kRawFactor of their type (see vec_avx2.h). Scales of single slots are multiplied in.
#pragma once

#include "kernels/isa/integers.h"
#include "kernels/isa/multiply_tile.h"
#include "kernels/kv_view.h"

namespace octet::kernels {
namespace {

// Converts `size` contiguous elements, a multiple of 16.
template <class V, Dtype D>
OCTET_INLINE void convert_run(const std::byte* from, int size, float* to) {
  for (int i = 0; i < size; i += 16, from += 16 * dtype_bytes(D)) {
    V raw[16 / V::width];
    V::template load_raw16<D>(from, raw);
#pragma GCC unroll 2
    for (int n = 0; n < 16 / V::width; ++n) raw[n].store(to + i + n * V::width);
  }
}

// Multiplies the `Columns` columns that a K tile has in a panel, `stride` floats a row, by the bfloat16 scales
// of its slots.
template <class V, int Columns>
OCTET_INLINE void scale_key_tile(const std::byte* scales, int head_dim, int stride, float* panel) {
  V factors[Columns / V::width];
  for (int n = 0; n < Columns / V::width; ++n)
    factors[n] = V::template load_raw<Dtype::bfloat16>(scales + 2 * n * V::width);
  for (int row = 0; row < head_dim; ++row, panel += stride)
    for (int n = 0; n < Columns / V::width; ++n)
      (V::load(panel + n * V::width) * factors[n]).store(panel + n * V::width);
}

// One K tile of eight slots into eight columns of a panel: sixteen elements are two dims.
template <class V, Dtype D>
OCTET_INLINE void convert_key_tile8(const std::byte* from, int head_dim, float* to) {
  for (int d = 0; d < head_dim; d += 2, from += 16 * dtype_bytes(D), to += 2 * kTileCols<V>) {
    V raw[16 / V::width];
    V::template load_raw16<D>(from, raw);
    if constexpr (V::width == 8) {
      raw[0].store(to);
      raw[1].store(to + kTileCols<V>);
    } else {
      raw[0].low().store(to);
      raw[0].high().store(to + kTileCols<V>);
    }
  }
}

OCTET_INLINE float bfloat16_at(const std::byte* p) {
  std::uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

// Multiplies `size` floats, a multiple of 16, by `factor`.
template <class V>
OCTET_INLINE void scale_run(float* x, int size, float factor) {
  for (int i = 0; i < size; i += V::width) (V::load(x + i) * V::broadcast(factor)).store(x + i);
}

// One K tile of sixteen slots into sixteen columns of a panel.
template <class V, Dtype D>
OCTET_INLINE void convert_key_tile16(const std::byte* from, int head_dim, float* to) {
  for (int d = 0; d < head_dim; ++d, from += 16 * dtype_bytes(D), to += kTileCols<V>)
    convert_run<V, D>(from, 16, to);
}

// Where one head's slots lie in the paged cache.
class HeadPages {
 public:
  HeadPages(const KvView& kv, int kv_head, const std::int32_t* block_table)
      : kv_(kv), kv_head_(kv_head), block_table_(block_table) {}

  const KvView& kv() const { return kv_; }
  int kv_head() const { return kv_head_; }

  // Calls use(position, slots, block, slot) for every run of slots of [begin, end) that lie in one block:
  // `slots` of them from `slot` on, which is that of `position`.
  template <class Use>
  OCTET_INLINE void for_each_run(int begin, int end, Use&& use) const {
    for (int p = begin; p < end;) {
      const int slot = p % kv_.block_size;
      const int slots = smaller(kv_.block_size - slot, end - p);
      use(p, slots, block_table_[p / kv_.block_size], slot);
      p += slots;
    }
  }

 private:
  const KvView& kv_;
  int kv_head_;
  const std::int32_t* block_table_;
};

// Keys of [begin, end) into the panels of the chunk that starts at `chunk`; whole tiles are converted, so
// columns outside of [begin, end) get whatever the cache holds there.
template <class V, Dtype D>
void convert_keys(const HeadPages& pages, int begin, int end, int chunk, float* keys) {
  const KvView& kv = pages.kv();
  const int k_tile = kv.k_tile;
  pages.for_each_run(begin / k_tile * k_tile, end, [&](int position, int slots, std::int64_t block, int first) {
    std::byte* head = k_head(kv, block, pages.kv_head());
    const std::byte* from =
        head + static_cast<std::int64_t>(first) * kv.head_dim * std::int64_t{dtype_bytes(D)};
    const std::byte* scales = slot_scale(head, kv.k_dtype, kv, first);
    for (int slot = position - chunk; slot < position - chunk + slots; slot += k_tile) {
      float* to = keys + slot / kTileCols<V> * kTileCols<V> * kv.head_dim + slot % kTileCols<V>;
      if (k_tile == 16)
        convert_key_tile16<V, D>(from, kv.head_dim, to);
      else
        convert_key_tile8<V, D>(from, kv.head_dim, to);
      if (is_per_token_head(kv.k_dtype)) {
        if (k_tile == 16)
          scale_key_tile<V, 16>(scales, kv.head_dim, kTileCols<V>, to);
        else
          scale_key_tile<VecF8, 8>(scales, kv.head_dim, kTileCols<V>, to);
        scales += 2 * k_tile;
      }
      from += static_cast<std::int64_t>(k_tile) * kv.head_dim * static_cast<std::int64_t>(dtype_bytes(D));
    }
  });
}

// Values of [begin, end) into the panels of the chunk that starts at `chunk` and has `chunk_length` slots.
template <class V, Dtype D>
void convert_values(const HeadPages& pages, int begin, int end, int chunk, int chunk_length, float* values) {
  const KvView& kv = pages.kv();
  pages.for_each_run(begin, end, [&](int position, int slots, std::int64_t block, int first) {
    std::byte* head = v_head(kv, block, pages.kv_head());
    const std::byte* from =
        head + static_cast<std::int64_t>(first) * kv.head_dim * std::int64_t{dtype_bytes(D)};
    float* row = values + (position - chunk) * kTileCols<V>;
    for (int s = 0; s < slots; ++s, row += kTileCols<V>) {
      float* to = row;
      for (int d = 0; d < kv.head_dim; d += kTileCols<V>, to += chunk_length * kTileCols<V>) {
        const int dims = smaller(kTileCols<V>, kv.head_dim - d);
        convert_run<V, D>(from, dims, to);
        if (is_per_token_head(kv.v_dtype))
          scale_run<V>(to, dims, bfloat16_at(slot_scale(head, kv.v_dtype, kv, first + s)));
        from += dims * static_cast<std::int64_t>(dtype_bytes(D));
      }
    }
  });
}

// Calls use.template operator()<D>() for the run-time dtype's code_dtype.
template <class Use>
OCTET_INLINE void with_dtype(Dtype dtype, Use&& use) {
  switch (code_dtype(dtype)) {
    case Dtype::float32:
      return use.template operator()<Dtype::float32>();
    case Dtype::float16:
      return use.template operator()<Dtype::float16>();
    case Dtype::bfloat16:
      return use.template operator()<Dtype::bfloat16>();
    case Dtype::fp8_e4m3:
      return use.template operator()<Dtype::fp8_e4m3>();
    case Dtype::fp8_e5m2:
      return use.template operator()<Dtype::fp8_e5m2>();
    case Dtype::int8_per_token_head:
      return use.template operator()<Dtype::int8_per_token_head>();
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      break;  // code_dtype is neither
  }
}

// Asks for the lines of `slots` slots from `slot` on, in a head's part of a block, to come into the
// second-level cache; their scales with them.
OCTET_INLINE void prefetch_run(std::byte* head, Dtype dtype, const KvView& kv, int slot, int slots) {
  const std::int64_t row = kv.head_dim * static_cast<std::int64_t>(dtype_bytes(dtype));
  for (std::int64_t i = slot * row; i < (slot + slots) * row; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(head + i), _MM_HINT_T1);
  if (is_per_token_head(dtype))
    _mm_prefetch(reinterpret_cast<const char*>(slot_scale(head, dtype, kv, slot)), _MM_HINT_T1);
}

// Keys and values of [begin, end), where there are any.
inline void prefetch_slots(const HeadPages& pages, int begin, int end) {
  const KvView& kv = pages.kv();
  pages.for_each_run(begin, end, [&](int, int slots, std::int64_t block, int slot) {
    prefetch_run(k_head(kv, block, pages.kv_head()), kv.k_dtype, kv, slot, slots);
    prefetch_run(v_head(kv, block, pages.kv_head()), kv.v_dtype, kv, slot, slots);
  });
}

}  // namespace
}  // namespace octet::kernels
