#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "numeric/float16.h"
#include "paged_cache.h"
#include "tables.h"

namespace octet::kernels {
namespace {

// Everything that rounding may trip over: all float16 values, those halfway between them and the floats
// beside those, random bits, and the ends of the range.
std::vector<float> hard_floats() {
  std::vector<float> values;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = float16{static_cast<std::uint16_t>(bits)}.to_float();
    values.push_back(value);
    values.push_back(std::nextafterf(value, 1e30f));
    values.push_back(std::nextafterf(value, -1e30f));
    values.push_back(std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) + 0x1000u));  // a float16 tie
  }
  std::mt19937 random(31);
  for (int i = 0; i < 100'000; ++i)
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  for (const float end : {std::numeric_limits<float>::max(), std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::quiet_NaN()}) {
    values.push_back(end);
    values.push_back(-end);
  }
  values.resize(values.size() / 64 * 64 + 64, 1.0f);  // whole rows
  return values;
}

class StoreKvTest : public TableTest {
 protected:
  // Writes k and v at `slot` with both tables and compares the whole pools, byte for byte.
  void check(const CacheShape& shape, const std::vector<float>& k, const std::vector<float>& v, float scale,
             std::int64_t slot) {
    std::mt19937 random(32);
    PagedCache actual(shape, 0, 2 * shape.block_size, random);
    PagedCache expected = actual;
    std::vector<float> scales(static_cast<std::size_t>(shape.num_kv_heads), scale);
    for (std::size_t h = 0; h < scales.size(); ++h) scales[h] *= static_cast<float>(h + 1);
    for (const auto& [with, cache] : {std::pair{&table(), &actual}, {&reference(), &expected}}) {
      KvView view = cache->view();
      view.k_scale = view.v_scale = scales.data();
      with->store_kv({.k = k.data(), .v = v.data(), .kv = &view, .slot = slot});
    }
    ASSERT_TRUE(actual.k() == expected.k()) << dtype_name(shape.k_dtype) << " scale " << scale;
    ASSERT_TRUE(actual.v() == expected.v()) << dtype_name(shape.v_dtype) << " scale " << scale;
  }
};

// Row i of `values` goes to slot i; every third row is divided by 1, 0.3 or 1/448: a division, not a
// product with the reciprocal, is what is rounded.
std::vector<std::byte> stored(const KernelTable& table, const std::vector<float>& values, Dtype dtype) {
  constexpr int head_dim = 64;
  const int rows = static_cast<int>(values.size()) / head_dim;
  const std::size_t blocks = static_cast<std::size_t>(rows) / 16 + 1;
  std::vector<std::byte> pool(2 * blocks * static_cast<std::size_t>(head_block_bytes(dtype, 16, head_dim)));
  KvView view{.k = pool.data(),
              .v = pool.data() + pool.size() / 2,
              .k_dtype = dtype,
              .v_dtype = dtype,
              .num_kv_heads = 1,
              .head_dim = head_dim,
              .block_size = 16,
              .k_tile = 16};
  constexpr float scales[] = {1.0f, 0.3f, 1.0f / 448.0f};
  for (int row = 0; row < rows; ++row) {
    view.k_scale = view.v_scale = &scales[row % 3];
    const float* x = values.data() + static_cast<std::ptrdiff_t>(row) * head_dim;
    table.store_kv({.k = x, .v = x, .kv = &view, .slot = row});
  }
  return pool;
}

TEST_P(StoreKvTest, EveryHardFloatIsTheSameBitForBit) {
  const std::vector<float> values = hard_floats();
  for (const Dtype dtype : kCacheDtypes)
    for (std::size_t offset = 0; offset < 3 * 64; offset += 64) {  // each row meets each scale
      const std::vector<float> part(values.begin() + static_cast<std::ptrdiff_t>(offset), values.end());
      ASSERT_TRUE(stored(table(), part, dtype) == stored(reference(), part, dtype)) << dtype_name(dtype);
    }
}

TEST_P(StoreKvTest, EverySlotAndShape) {
  std::mt19937 random(33);
  std::normal_distribution<float> normal(0.0f, 10.0f);
  for (const int block : {1, 8, 12, 16, 24, 32, 128})
    for (const int head_dim : {1, 20, 64, 80, 96, 130}) {
      const CacheShape shape{.k_dtype = kCacheDtypes[random() % kNumCacheDtypes],
                             .v_dtype = kCacheDtypes[random() % kNumCacheDtypes],
                             .num_kv_heads = 3,
                             .head_dim = head_dim,
                             .block_size = block};
      std::vector<float> k(static_cast<std::size_t>(3 * head_dim)), v(k.size());
      for (float& x : k) x = normal(random);
      for (float& x : v) x = normal(random);
      for (int slot = 0; slot < 2 * block; slot += 1 + block / 5) check(shape, k, v, 0.37f, slot);
      if (HasFatalFailure()) return;
    }
}

// What is stored beside and in a vector gives the numbers back within half a step.
TEST_P(StoreKvTest, VectorsComeBackWithinHalfAStep) {
  constexpr int head_dim = 64;
  std::mt19937 random(34);
  for (const Dtype dtype : {Dtype::int8_per_token_head, Dtype::fp8_per_token_head})
    for (const float size : {1e-30f, 1e-3f, 1.0f, 1e5f, 1e36f}) {
      PagedCache cache({.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = 1}, 0, 16, random);
      KvView kv = cache.view();
      std::vector<float> x(head_dim);
      for (float& value : x) value = size * std::normal_distribution<float>()(random);
      const float absmax = std::fabs(
          *std::max_element(x.begin(), x.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); }));
      table().store_kv({.k = x.data(), .v = x.data(), .kv = &kv, .slot = 5});
      for (int d = 0; d < head_dim; ++d) {
        const float k = reference::element(k_head(kv, 0, 0), dtype, k_offset(kv, 5, d)) *
                        reference::vector_scale(slot_scale(k_head(kv, 0, 0), dtype, kv, 5));
        const float v = reference::element(v_head(kv, 0, 0), dtype, v_offset(kv, 5, d)) *
                        reference::vector_scale(slot_scale(v_head(kv, 0, 0), dtype, kv, 5));
        const float x_d = x[static_cast<std::size_t>(d)];
        const float half_step = dtype == Dtype::int8_per_token_head
                                    ? 0.504f * absmax / 127.0f
                                    : std::max(std::fabs(x_d) / 15.9f, absmax / 448.0f / 900.0f);
        EXPECT_NEAR(k, x_d, half_step);
        EXPECT_EQ(k, v);
      }
    }
}

TEST_P(StoreKvTest, VectorsOfZerosAndOfNans) {
  constexpr int head_dim = 32;
  std::mt19937 random(35);
  for (const Dtype dtype : {Dtype::int8_per_token_head, Dtype::fp8_per_token_head}) {
    PagedCache cache({.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = 1, .head_dim = head_dim}, 0, 16,
                     random);
    KvView kv = cache.view();
    const auto scale_of = [&](const std::vector<float>& x) {
      table().store_kv({.k = x.data(), .v = x.data(), .kv = &kv, .slot = 0});
      return reference::vector_scale(slot_scale(k_head(kv, 0, 0), dtype, kv, 0));
    };
    std::vector<float> x(head_dim, 0.0f);
    EXPECT_EQ(scale_of(x), 0.0f);
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), -INFINITY}) {
      x[7] = bad;
      EXPECT_TRUE(std::isnan(scale_of(x)));
      EXPECT_EQ(reference::element(k_head(kv, 0, 0), dtype, k_offset(kv, 0, 7)), 0.0f);
    }
  }
}

OCTET_INSTANTIATE_TABLES(StoreKvTest);

}  // namespace
}  // namespace octet::kernels
