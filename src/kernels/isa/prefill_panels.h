// One chunk of the paged cache as float32 panels for multiply_tile: converted once, met by every row.
//
//   keys    [chunk / kTileCols][head_dim][kTileCols]   slots in vector lanes, the order that the cache keeps
//   values  [head_dim / kTileCols][chunk][kTileCols]   dims in vector lanes
//
// Values are divided by kRawFactor of their type (see vec_avx2.h).
#pragma once

#include "kernels/isa/multiply_tile.h"
#include "kernels/kv_view.h"

namespace octet::kernels {
namespace {

constexpr int smaller(int a, int b) { return a < b ? a : b; }
constexpr int larger(int a, int b) { return a > b ? a : b; }

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

  // Calls use(position, slots, offset) for every run of slots of [begin, end) that lie in one block; `offset`
  // is the element offset of the run's first V row, and of its first K tile where position begins one.
  template <class Use>
  OCTET_INLINE void for_each_run(int begin, int end, Use&& use) const {
    for (int p = begin; p < end;) {
      const int slot = p % kv_.block_size;
      const int slots = smaller(kv_.block_size - slot, end - p);
      use(p, slots,
          kv_head_offset(kv_, block_table_[p / kv_.block_size], kv_head_) +
              static_cast<std::int64_t>(slot) * kv_.head_dim);
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
  pages.for_each_run(begin / k_tile * k_tile, end, [&](int position, int slots, std::int64_t offset) {
    const std::byte* from = kv.k + offset * static_cast<std::int64_t>(dtype_bytes(D));
    for (int slot = position - chunk; slot < position - chunk + slots; slot += k_tile) {
      float* to = keys + slot / kTileCols<V> * kTileCols<V> * kv.head_dim + slot % kTileCols<V>;
      if (k_tile == 16)
        convert_key_tile16<V, D>(from, kv.head_dim, to);
      else
        convert_key_tile8<V, D>(from, kv.head_dim, to);
      from += static_cast<std::int64_t>(k_tile) * kv.head_dim * static_cast<std::int64_t>(dtype_bytes(D));
    }
  });
}

// Values of [begin, end) into the panels of the chunk that starts at `chunk` and has `chunk_length` slots.
template <class V, Dtype D>
void convert_values(const HeadPages& pages, int begin, int end, int chunk, int chunk_length, float* values) {
  const KvView& kv = pages.kv();
  pages.for_each_run(begin, end, [&](int position, int slots, std::int64_t offset) {
    const std::byte* from = kv.v + offset * static_cast<std::int64_t>(dtype_bytes(D));
    float* row = values + (position - chunk) * kTileCols<V>;
    for (int s = 0; s < slots; ++s, row += kTileCols<V>) {
      float* to = row;
      for (int d = 0; d < kv.head_dim; d += kTileCols<V>, to += chunk_length * kTileCols<V>) {
        const int dims = smaller(kTileCols<V>, kv.head_dim - d);
        convert_run<V, D>(from, dims, to);
        from += dims * static_cast<std::int64_t>(dtype_bytes(D));
      }
    }
  });
}

// Calls use.template operator()<D>() for the run-time dtype.
template <class Use>
OCTET_INLINE void with_dtype(Dtype dtype, Use&& use) {
  switch (dtype) {
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
  }
}

// Asks for the lines of elements [offset, offset + size) to come into the second-level cache.
OCTET_INLINE void prefetch_run(const std::byte* data, std::int64_t offset, std::int64_t size,
                               std::int64_t bytes) {
  for (std::int64_t i = offset * bytes; i < (offset + size) * bytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(data + i), _MM_HINT_T1);
}

// Keys and values of [begin, end), where there are any.
inline void prefetch_slots(const HeadPages& pages, int begin, int end) {
  const KvView& kv = pages.kv();
  pages.for_each_run(begin, end, [&](int, int slots, std::int64_t offset) {
    const std::int64_t size = static_cast<std::int64_t>(slots) * kv.head_dim;
    prefetch_run(kv.k, offset, size, static_cast<std::int64_t>(dtype_bytes(kv.k_dtype)));
    prefetch_run(kv.v, offset, size, static_cast<std::int64_t>(dtype_bytes(kv.v_dtype)));
  });
}

}  // namespace
}  // namespace octet::kernels
