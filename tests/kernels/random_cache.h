// A small paged cache of random keys and values with a shuffled block table, for tests of attention.
//
// Every slot that a kernel has no business to use holds NaN, and block table entries that it must not follow
// are far out of range.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/kv_view.h"
#include "numeric/dtype.h"
#include "numeric/float16.h"
#include "numeric/fp8.h"

namespace octet::kernels {

struct CacheShape {
  Dtype k_dtype = Dtype::fp8_e4m3;
  Dtype v_dtype = Dtype::fp8_e4m3;
  int num_kv_heads = 2;
  int head_dim = 64;
  int block_size = 16;
  int begin = 0;          // the first position that holds anything
  int end = 1;            // one past the last
  float key_size = 1.0f;  // standard deviation of the stored keys
  float value_size = 1.0f;
};

class RandomCache {
 public:
  // The same seed and shape give the same keys and values at the same positions whatever the block size.
  RandomCache(const CacheShape& shape, unsigned seed) : shape_(shape) {
    const int used = (shape.end + shape.block_size - 1) / shape.block_size;
    const int blocks = used + 2;
    const std::size_t elements = static_cast<std::size_t>(blocks) * static_cast<std::size_t>(shape.block_size) *
                                 static_cast<std::size_t>(shape.num_kv_heads) *
                                 static_cast<std::size_t>(shape.head_dim);
    // All bits set is a NaN in every type.
    k_.assign(elements * dtype_bytes(shape.k_dtype), std::byte{0xff});
    v_.assign(elements * dtype_bytes(shape.v_dtype), std::byte{0xff});

    std::mt19937 random(seed);
    std::vector<std::int32_t> free(static_cast<std::size_t>(blocks));
    std::iota(free.begin(), free.end(), 0);
    std::shuffle(free.begin(), free.end(), std::mt19937(seed + 1));
    constexpr std::int32_t kForbidden = -(1 << 24);
    for (int b = 0; b < used; ++b)
      table_.push_back((b + 1) * shape.block_size <= shape.begin ? kForbidden
                                                                 : free[static_cast<std::size_t>(b)]);

    std::uniform_real_distribution<float> scale(0.25f, 2.0f);
    for (int h = 0; h < shape.num_kv_heads; ++h) {
      k_scale_.push_back(scale(random));
      v_scale_.push_back(scale(random));
    }
    fill(random);
  }

  KvView view() {
    return {k_.data(),           v_.data(),
            k_scale_.data(),     v_scale_.data(),
            shape_.k_dtype,      shape_.v_dtype,
            shape_.num_kv_heads, shape_.head_dim,
            shape_.block_size,   k_tile_slots(shape_.block_size)};
  }
  const std::int32_t* block_table() const { return table_.data(); }
  const CacheShape& shape() const { return shape_; }

 private:
  static void store(std::vector<std::byte>& to, Dtype dtype, std::int64_t index, float value) {
    const auto put = [&](auto bits) {
      std::memcpy(to.data() + static_cast<std::size_t>(index) * sizeof bits, &bits, sizeof bits);
    };
    switch (dtype) {
      case Dtype::float32:
        return put(value);
      case Dtype::float16:
        return put(float16::from_float(value).bits);
      case Dtype::bfloat16:
        return put(bfloat16::from_float(value).bits);
      case Dtype::fp8_e4m3:
        return put(fp8_e4m3::from_float(value).bits);
      case Dtype::fp8_e5m2:
        return put(fp8_e5m2::from_float(value).bits);
    }
  }

  void fill(std::mt19937& random) {
    std::normal_distribution<float> normal;
    const KvView kv = view();
    for (int p = shape_.begin; p < shape_.end; ++p) {
      const std::int32_t block = table_[static_cast<std::size_t>(p / shape_.block_size)];
      const int slot = p % shape_.block_size;
      for (int h = 0; h < shape_.num_kv_heads; ++h) {
        const std::int64_t base = kv_head_offset(kv, block, h);
        for (int d = 0; d < shape_.head_dim; ++d) {
          store(k_, shape_.k_dtype, base + k_offset(kv, slot, d), shape_.key_size * normal(random));
          store(v_, shape_.v_dtype, base + v_offset(kv, slot, d), shape_.value_size * normal(random));
        }
      }
    }
  }

  CacheShape shape_;
  std::vector<std::byte> k_, v_;
  std::vector<float> k_scale_, v_scale_;
  std::vector<std::int32_t> table_;
};

}  // namespace octet::kernels
