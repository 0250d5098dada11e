// A small paged cache for kernel tests: random stored codes at the positions that count, NaN everywhere
// else, and block numbers that would crash where a kernel must not look.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/kv_view.h"
#include "kernels/reference.h"

namespace octet::kernels {

// Every dtype that a cache may have.
inline constexpr KvDtype kCacheDtypes[] = {KvDtype::float32,
                                           KvDtype::float16,
                                           KvDtype::bfloat16,
                                           KvDtype::fp8_e4m3,
                                           KvDtype::fp8_e5m2,
                                           KvDtype::int8_per_token_head,
                                           KvDtype::int8_hadamard_per_token_head,
                                           KvDtype::fp8_per_token_head};
inline constexpr int kNumCacheDtypes = static_cast<int>(std::size(kCacheDtypes));

struct CacheShape {
  KvDtype k_dtype = KvDtype::bfloat16;
  KvDtype v_dtype = KvDtype::bfloat16;
  int num_kv_heads = 2;
  int head_dim = 64;
  int block_size = 16;
};

class PagedCache {
 public:
  PagedCache(const CacheShape& shape, int begin, int end, std::mt19937& random)
      : shape_(shape), num_blocks_((end + shape.block_size - 1) / shape.block_size + 3) {
    const auto pool_bytes = [&](KvDtype dtype) {
      return static_cast<std::size_t>(num_blocks_ * shape.num_kv_heads *
                                      head_block_bytes(dtype, shape.block_size, shape.head_dim));
    };
    // All ones is NaN in every format, and as the scale of a vector.
    k_.assign(pool_bytes(shape.k_dtype), std::byte{0xff});
    v_.assign(pool_bytes(shape.v_dtype), std::byte{0xff});
    std::uniform_real_distribution<float> scale(0.5f, 2.0f);
    for (int h = 0; h < shape.num_kv_heads; ++h) {
      k_scale_.push_back(scale(random) * unit(shape.k_dtype));
      v_scale_.push_back(scale(random) * unit(shape.v_dtype));
    }
    make_block_table(begin, end, random);
    for (int p = begin; p < end; ++p) fill_position(p, random);
  }

  KvView view() {
    return {.k = k_.data(),
            .v = v_.data(),
            .k_scale = k_scale_.data(),
            .v_scale = v_scale_.data(),
            .k_dtype = shape_.k_dtype,
            .v_dtype = shape_.v_dtype,
            .num_kv_heads = shape_.num_kv_heads,
            .head_dim = shape_.head_dim,
            .block_size = shape_.block_size,
            .k_tile = k_tile_slots(shape_.block_size)};
  }

  const std::int32_t* block_table() const { return block_table_.data(); }
  const std::vector<std::byte>& k() const { return k_; }
  const std::vector<std::byte>& v() const { return v_; }

  void set_k(int position, int head, int dim, float value) {
    const KvView kv = view();
    reference::set_element(k_head(kv, block(position), head), kv.k_dtype,
                           k_offset(kv, position % kv.block_size, dim), value);
  }
  void set_v(int position, int head, int dim, float value) {
    const KvView kv = view();
    reference::set_element(v_head(kv, block(position), head), kv.v_dtype,
                           v_offset(kv, position % kv.block_size, dim), value);
  }

  // Makes the whole key or value NaN, of a dtype that is_per_token_head.
  void set_scale_nan(int position, int head, bool key) {
    const KvView kv = view();
    std::byte* part = key ? k_head(kv, block(position), head) : v_head(kv, block(position), head);
    reference::set_element(slot_scale(part, key ? kv.k_dtype : kv.v_dtype, kv, position % kv.block_size),
                           KvDtype::bfloat16, 0, std::numeric_limits<float>::quiet_NaN());
  }

  // The same cache with |v|: what bounds the rounding errors of sums over v.
  PagedCache with_absolute_values() const {
    PagedCache copy = *this;
    const std::size_t size = dtype_bytes(shape_.v_dtype);
    const std::int64_t part = head_block_bytes(shape_.v_dtype, shape_.block_size, shape_.head_dim);
    const std::int64_t numbers = head_numbers_bytes(shape_.v_dtype, shape_.block_size, shape_.head_dim);
    for (std::size_t i = size - 1; i < copy.v_.size(); i += size) {
      std::byte& last = copy.v_[i];
      if (static_cast<std::int64_t>(i) % part >= numbers) continue;  // scales, which are not negative
      last &= std::byte{0x7f};
    }
    return copy;
  }

 private:
  // Brings the largest values of the FP8 formats to about 8.
  static float unit(KvDtype dtype) {
    return dtype == KvDtype::fp8_e4m3 ? 1.0f / 64.0f : dtype == KvDtype::fp8_e5m2 ? 1.0f / 8192.0f : 1.0f;
  }

  std::int64_t block(int position) const {
    return block_table_[static_cast<std::size_t>(position / shape_.block_size)];
  }

  void make_block_table(int begin, int end, std::mt19937& random) {
    std::vector<std::int32_t> blocks(static_cast<std::size_t>(num_blocks_));
    std::iota(blocks.begin(), blocks.end(), 0);
    std::shuffle(blocks.begin(), blocks.end(), random);
    block_table_.assign(blocks.begin(), blocks.end() - 1);
    for (int b = 0; b < static_cast<int>(block_table_.size()); ++b)
      if (b < begin / shape_.block_size || b > (end - 1) / shape_.block_size)
        block_table_[static_cast<std::size_t>(b)] = std::numeric_limits<std::int32_t>::max();
  }

  void fill_position(int position, std::mt19937& random) {
    const KvView kv = view();
    const int slot = position % kv.block_size;
    for (int h = 0; h < kv.num_kv_heads; ++h) {
      std::byte* keys = k_head(kv, block(position), h);
      std::byte* values = v_head(kv, block(position), h);
      for (int d = 0; d < kv.head_dim; ++d) {
        fill_element(keys, kv.k_dtype, k_offset(kv, slot, d), random);
        fill_element(values, kv.v_dtype, v_offset(kv, slot, d), random);
      }
      fill_scale(keys, kv.k_dtype, slot, random);
      fill_scale(values, kv.v_dtype, slot, random);
    }
  }

  // A scale that brings the largest values to about 8, where the vectors have scales.
  void fill_scale(std::byte* head, KvDtype dtype, int slot, std::mt19937& random) {
    if (!is_per_token_head(dtype)) return;
    const float largest = code_dtype(dtype) == KvDtype::fp8_e4m3 ? 448.0f : 127.0f;
    const float scale = std::uniform_real_distribution<float>(1.0f, 8.0f)(random) / largest;
    reference::set_element(slot_scale(head, dtype, view(), slot), KvDtype::bfloat16, 0, scale);
  }

  // Any finite code where the format has 8 bits, a normal distribution elsewhere.
  static void fill_element(std::byte* pool, KvDtype dtype, std::int64_t index, std::mt19937& random) {
    if (dtype_bytes(dtype) != 1) {
      reference::set_element(pool, dtype, index, std::normal_distribution<float>(0.0f, 1.5f)(random));
      return;
    }
    const unsigned largest = code_dtype(dtype) == KvDtype::fp8_e4m3   ? 0x7e
                             : code_dtype(dtype) == KvDtype::fp8_e5m2 ? 0x7b
                                                                      : 0x7f;
    const unsigned code = static_cast<unsigned>(random()) & 0xffu;
    pool[index] = static_cast<std::byte>((code & 0x7fu) <= largest ? code : code & 0x80u);
  }

  CacheShape shape_;
  int num_blocks_;
  std::vector<std::byte> k_, v_;
  std::vector<float> k_scale_, v_scale_;
  std::vector<std::int32_t> block_table_;
};

}  // namespace octet::kernels
