#include "kv/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"

namespace octet::kv {
namespace {

constexpr int kBlocks = 5;
const KvLayout kLayout{3, 2, 16, 8, KvDtype::fp8_e4m3, KvDtype::fp8_e5m2};

KvScales scales_of(const KvLayout& layout) {
  KvScales scales = KvScales::ones(layout.num_layers(), layout.num_kv_heads);
  for (std::size_t i = 0; i < scales.layers.size(); ++i) {
    scales.layers[i].k[1] = 0.5f + static_cast<float>(i);
    scales.layers[i].v[0] = 0.25f + static_cast<float>(i);
  }
  return scales;
}

TEST(KvCache, ViewsDescribeTheirLayer) {
  const KvCache cache(kLayout, kBlocks, scales_of(kLayout));
  EXPECT_EQ(cache.total_bytes(), kBlocks * kLayout.bytes_per_block());
  EXPECT_EQ(cache.pool().num_blocks(), kBlocks);
  EXPECT_EQ(cache.pool().num_free(), kBlocks);
  for (int layer = 0; layer < kLayout.num_layers(); ++layer) {
    const kernels::KvView& view = cache.view(layer);
    EXPECT_EQ(view.k_dtype, KvDtype::fp8_e4m3);
    EXPECT_EQ(view.v_dtype, KvDtype::fp8_e5m2);
    EXPECT_EQ(view.num_kv_heads, 2);
    EXPECT_EQ(view.head_dim, 16);
    EXPECT_EQ(view.block_size, 8);
    EXPECT_EQ(view.k_tile, kernels::k_tile_slots(8));
    EXPECT_EQ(view.k_scale[1], 0.5f + static_cast<float>(layer));
    EXPECT_EQ(view.v_scale[0], 0.25f + static_cast<float>(layer));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.k) % 64, 0u);
  }
}

// Every byte of every layer's K and V can be written, and no two of them are the same byte.
TEST(KvCache, LayersDoNotOverlap) {
  KvLayout layout = kLayout;
  layout.layers[0] = {KvDtype::float16, KvDtype::fp8_e4m3};
  layout.layers[1] = {KvDtype::fp8_e5m2, KvDtype::float32};
  KvCache cache(layout, kBlocks, scales_of(layout));
  const auto k_bytes = [&](int layer) {
    return static_cast<std::size_t>(layout.k_block_bytes(layer) * kBlocks);
  };
  const auto v_bytes = [&](int layer) {
    return static_cast<std::size_t>(layout.v_block_bytes(layer) * kBlocks);
  };
  std::size_t total = 0;
  for (int layer = 0; layer < layout.num_layers(); ++layer) {
    std::memset(cache.view(layer).k, 2 * layer + 1, k_bytes(layer));
    std::memset(cache.view(layer).v, 2 * layer + 2, v_bytes(layer));
    total += k_bytes(layer) + v_bytes(layer);
  }
  EXPECT_EQ(static_cast<std::int64_t>(total), cache.total_bytes());
  for (int layer = 0; layer < layout.num_layers(); ++layer) {
    const std::vector<std::byte> k(k_bytes(layer), static_cast<std::byte>(2 * layer + 1));
    const std::vector<std::byte> v(v_bytes(layer), static_cast<std::byte>(2 * layer + 2));
    EXPECT_EQ(std::memcmp(cache.view(layer).k, k.data(), k.size()), 0) << "layer " << layer;
    EXPECT_EQ(std::memcmp(cache.view(layer).v, v.data(), v.size()), 0) << "layer " << layer;
  }
}

TEST(KvCache, ScalesAreForFp8Alone) {
  KvLayout layout = kLayout;
  layout.layers[1] = {KvDtype::float16, KvDtype::fp8_e4m3};
  KvCache cache(layout, kBlocks, scales_of(layout));
  EXPECT_EQ(cache.view(0).k_scale[1], 0.5f);
  EXPECT_EQ(cache.view(1).k_scale[1], 1.0f);
  EXPECT_EQ(cache.view(1).v_scale[0], 1.25f);
  cache.set_scales(1, {{3.0f, 4.0f}, {5.0f, 6.0f}, {}});
  EXPECT_EQ(cache.view(1).k_scale[1], 1.0f);
  EXPECT_EQ(cache.view(1).v_scale[1], 6.0f);
}

TEST(KvCache, FreshMemoryIsZero) {
  const KvCache cache(kLayout, kBlocks, scales_of(kLayout));
  for (std::int64_t i = 0; i < kLayout.v_block_bytes(0) * kBlocks; ++i)
    ASSERT_EQ(cache.view(2).v[i], std::byte{0});
}

// Memory comes when it is first written: a cache far beyond this machine's can be made and used.
TEST(KvCache, ALargeCacheCostsNothingUntilItIsUsed) {
  const KvLayout layout{30, 3, 64, 16, KvDtype::fp8_e4m3, KvDtype::fp8_e4m3};
  KvCache cache(layout, 1 << 18, KvScales::ones(30, 3));
  EXPECT_EQ(cache.total_bytes(), std::int64_t{11520} * 16 * (1 << 18));
  const std::int64_t last = layout.v_block_bytes(0) * (1 << 18) - 1;
  cache.view(29).v[last] = std::byte{7};
  EXPECT_EQ(cache.view(29).v[last], std::byte{7});
}

template <typename Function>
Error error_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorCode::internal, "none");
}

TEST(KvCache, WhatCannotBeReservedIsOutOfMemoryWithItsSize) {
  const KvLayout layout{1000, 128, 512, 128, KvDtype::float32, KvDtype::float32};
  for (const int blocks : {std::numeric_limits<std::int32_t>::max() / 4096, 100000}) {
    const Error error = error_of([&] { KvCache(layout, blocks, KvScales::ones(1000, 128)); });
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_NE(error.message().find(std::to_string(layout.bytes_per_block())), std::string::npos)
        << error.what();
  }
}

TEST(KvCache, RefusesScalesOfAnotherShape) {
  const auto message = [](KvScales scales) {
    const Error error = error_of([&] { KvCache(kLayout, kBlocks, std::move(scales)); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return std::string(error.what());
  };
  EXPECT_NE(message(KvScales::ones(2, 2)).find("expected 3, found 2"), std::string::npos);
  EXPECT_NE(message(KvScales::ones(3, 1)).find("expected 2, found 1"), std::string::npos);
  KvScales scales = KvScales::ones(3, 2);
  scales.layers[2].v.push_back(1.0f);
  EXPECT_NE(message(scales).find("v scales"), std::string::npos);
}

TEST(KvCache, RefusesABadLayout) {
  KvLayout layout = kLayout;
  layout.block_size = 12;
  EXPECT_EQ(error_of([&] { KvCache(layout, kBlocks, KvScales::ones(3, 2)); }).code(),
            ErrorCode::invalid_argument);
}

TEST(KvCache, ContentsUnderOtherScalesOrDtypesHaveAnotherSeed) {
  KvCache cache(kLayout, kBlocks, scales_of(kLayout));
  const ContentId seed = cache.content_seed();
  EXPECT_EQ(KvCache(kLayout, 2, scales_of(kLayout)).content_seed(), seed);
  EXPECT_NE(KvCache(kLayout, kBlocks, KvScales::ones(3, 2)).content_seed(), seed);
  KvLayout layout = kLayout;
  layout.layers[1].v = KvDtype::fp8_e4m3;
  EXPECT_NE(KvCache(layout, kBlocks, scales_of(layout)).content_seed(), seed);
  cache.set_scales(1, {{3.0f, 3.0f}, {1.0f, 1.0f}, {}});
  EXPECT_NE(cache.content_seed(), seed);
}

TEST(KvCache, CopyingABlockCopiesItInEveryLayer) {
  KvCache cache(kLayout, kBlocks, scales_of(kLayout));
  for (int layer = 0; layer < 3; ++layer) {
    std::memset(cache.view(layer).k, 10 + layer, static_cast<std::size_t>(kLayout.k_block_bytes(layer)));
    std::memset(cache.view(layer).v, 20 + layer, static_cast<std::size_t>(kLayout.v_block_bytes(layer)));
  }
  cache.copy_block(0, 3);
  for (int layer = 0; layer < 3; ++layer) {
    const std::int64_t k = kLayout.k_block_bytes(layer), v = kLayout.v_block_bytes(layer);
    for (const std::int64_t i : {std::int64_t{0}, k - 1})
      EXPECT_EQ(cache.view(layer).k[3 * k + i], static_cast<std::byte>(10 + layer));
    for (const std::int64_t i : {std::int64_t{0}, v - 1})
      EXPECT_EQ(cache.view(layer).v[3 * v + i], static_cast<std::byte>(20 + layer));
    EXPECT_EQ(cache.view(layer).k[3 * k - 1], std::byte{0});
    EXPECT_EQ(cache.view(layer).v[4 * v], std::byte{0});
  }
  EXPECT_THROW(cache.copy_block(0, kBlocks), Error);
}

TEST(KvCache, CountsWhatTheScalesCannotRepresent) {
  KvCache cache(kLayout, kBlocks, scales_of(kLayout));  // layer 1: k scales 1, 1.5; v scales 1.25, 1
  std::vector<float> k(32, 448.0f), v(32, -57344.0f);   // the largest of e4m3 and e5m2: they fit
  cache.count_saturated(1, k.data(), v.data());
  EXPECT_EQ(cache.saturated_values(1).k, 0);
  EXPECT_EQ(cache.saturated_values(1).v, 0);
  k[3] = -449.0f;
  k[20] = 671.0f;  // within 448 * 1.5
  k[21] = -673.0f;
  k[31] = std::numeric_limits<float>::quiet_NaN();
  v[0] = 57345.0f;  // within 57344 * 1.25
  v[16] = std::numeric_limits<float>::infinity();
  cache.count_saturated(1, k.data(), v.data());
  cache.count_saturated(1, k.data(), v.data());
  EXPECT_EQ(cache.saturated_values(1).k, 6);
  EXPECT_EQ(cache.saturated_values(1).v, 2);
  EXPECT_EQ(cache.saturated_values(0).k + cache.saturated_values(2).v, 0);

  KvCache wide({1, 2, 16, 8, KvDtype::bfloat16, KvDtype::float16}, 1, KvScales::ones(1, 2));
  std::fill(k.begin(), k.end(), 1e9f);
  wide.count_saturated(0, k.data(), k.data());
  EXPECT_EQ(wide.saturated_values(0).k, 0);
  EXPECT_EQ(wide.saturated_values(0).v, 32);
}

// Layers 0 and 2 have the window: a group of their own, whose blocks lie in memory of their own.
TEST(KvCache, GroupsHaveTheirOwnBlocks) {
  KvLayout layout = kLayout;
  layout.windows = {50, 0, 50};
  const std::int32_t blocks[] = {7, 3};
  KvCache cache(layout, blocks, scales_of(layout));
  EXPECT_EQ(cache.groups(), (std::vector<KvGroup>{{0, {1}}, {50, {0, 2}}}));
  EXPECT_EQ(cache.group_of(0), 1);
  EXPECT_EQ(cache.group_of(1), 0);
  EXPECT_EQ(cache.pool(0).num_blocks(), 7);
  EXPECT_EQ(cache.pool(1).num_blocks(), 3);
  EXPECT_EQ(cache.total_bytes(),
            7 * layout.bytes_per_block(cache.groups()[0]) + 3 * layout.bytes_per_block(cache.groups()[1]));
  std::int64_t filled = 0;
  for (int layer = 0; layer < 3; ++layer)
    for (const bool k : {true, false}) {
      const std::int64_t bytes = cache.pool(cache.group_of(layer)).num_blocks() *
                                 (k ? layout.k_block_bytes(layer) : layout.v_block_bytes(layer));
      std::byte* begin = k ? cache.view(layer).k : cache.view(layer).v;
      for (std::int64_t i = 0; i < bytes; ++i) ASSERT_EQ(begin[i], std::byte{0}) << "written as another's";
      std::memset(begin, 1, static_cast<std::size_t>(bytes));
      filled += bytes;
    }
  EXPECT_EQ(filled, cache.total_bytes());
  std::memset(cache.view(0).k, 5, static_cast<std::size_t>(layout.k_block_bytes(0)));
  std::memset(cache.view(1).k, 6, static_cast<std::size_t>(layout.k_block_bytes(1)));
  cache.copy_block(0, 2, 1);
  EXPECT_EQ(cache.view(0).k[2 * layout.k_block_bytes(0)], std::byte{5});
  EXPECT_EQ(cache.view(1).k[2 * layout.k_block_bytes(1)], std::byte{1}) << "of the other group";
}

}  // namespace
}  // namespace octet::kv
