// Prefill attention of every table that this machine can test, against the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "paged_cache.h"
#include "tables.h"

namespace octet::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kUntouched = -12345.0f;

struct Queries {
  int num_queries = 1;
  int group = 1;
  int first_position = 0;
  int window = 0;
  int q_padding = 0;  // floats between one position's heads and the next's
  int out_padding = 0;
  float size = 1.0f;
  float softcap = 0.0f;
};

std::vector<float> random_queries(const Queries& queries, int head_dim, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> q;
  for (int i = 0; i < queries.num_queries; ++i) {
    for (int n = 0; n < queries.group * head_dim; ++n) q.push_back(queries.size * normal(random));
    q.insert(q.end(), static_cast<std::size_t>(queries.q_padding), kNan);
  }
  return q;
}

// Runs queries [from, to) and returns their output with its padding. The scratch is as large as the table
// asks for, begins as NaN and is followed by floats that must stay as they are.
std::vector<float> attend(const KernelTable& table, const Queries& queries, PagedCache& cache, int kv_head,
                          const std::vector<float>& q, int from, int to) {
  const KvView kv = cache.view();
  const int width = queries.group * kv.head_dim;
  const std::int64_t q_stride = width + queries.q_padding, out_stride = width + queries.out_padding;
  std::vector<float> out(static_cast<std::size_t>((to - from) * out_stride), kUntouched);
  const std::size_t floats = table.prefill_scratch_floats(to - from, queries.group, kv.head_dim);
  constexpr std::size_t kGuard = 64;
  const std::size_t bytes = ((floats + kGuard) * sizeof(float) + 63) / 64 * 64;
  const std::unique_ptr<float, decltype(&std::free)> scratch(static_cast<float*>(std::aligned_alloc(64, bytes)),
                                                             &std::free);
  std::fill_n(scratch.get(), floats, kNan);
  std::fill_n(scratch.get() + floats, kGuard, kUntouched);
  table.prefill_attention({.q = q.data() + from * q_stride,
                           .q_stride = q_stride,
                           .num_queries = to - from,
                           .group = queries.group,
                           .first_position = queries.first_position + from,
                           .window = queries.window,
                           .softmax_scale = 1.0f / std::sqrt(static_cast<float>(kv.head_dim)),
                           .kv = &kv,
                           .kv_head = kv_head,
                           .block_table = cache.block_table(),
                           .out = out.data(),
                           .out_stride = out_stride,
                           .scratch = scratch.get(),
                           .softcap = queries.softcap});
  for (std::size_t i = 0; i < kGuard; ++i)
    EXPECT_EQ(scratch.get()[floats + i], kUntouched) << "past the scratch";
  return out;
}

std::vector<float> attend(const KernelTable& table, const Queries& queries, PagedCache& cache, int kv_head,
                          const std::vector<float>& q) {
  return attend(table, queries, cache, kv_head, q, 0, queries.num_queries);
}

// Holds keys and values at the positions that the queries attend to, and NaN elsewhere.
PagedCache cache_for(const Queries& queries, const CacheShape& shape, unsigned seed) {
  std::mt19937 random(seed);
  const int begin = queries.window > 0 ? std::max(0, queries.first_position - queries.window + 1) : 0;
  return PagedCache(shape, begin, queries.first_position + queries.num_queries, random);
}

std::string describe(const KernelTable& table, const Queries& q, const CacheShape& c) {
  return std::string(table.isa) + ": queries " + std::to_string(q.num_queries) + " group " +
         std::to_string(q.group) + " first " + std::to_string(q.first_position) + " window " +
         std::to_string(q.window) + " softcap " + std::to_string(q.softcap) + " head_dim " +
         std::to_string(c.head_dim) + " block " + std::to_string(c.block_size) + " k " +
         std::string(dtype_name(c.k_dtype)) + " v " + std::string(dtype_name(c.v_dtype));
}

// The worst difference from the reference, as a share of the largest output.
void expect_like_reference(const KernelTable& table, const Queries& queries, const CacheShape& shape,
                           PagedCache& cache, unsigned seed, float tolerance) {
  const std::vector<float> q = random_queries(queries, shape.head_dim, seed + 7);
  const int kv_head = static_cast<int>(seed) % shape.num_kv_heads;
  const std::vector<float> expected = attend(reference_table(), queries, cache, kv_head, q);
  const std::vector<float> found = attend(table, queries, cache, kv_head, q);
  const int width = queries.group * shape.head_dim, stride = width + queries.out_padding;
  float largest = 0.0f, worst = 0.0f;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (static_cast<int>(i) % stride >= width) {
      ASSERT_EQ(found[i], kUntouched) << describe(table, queries, shape);
      continue;
    }
    ASSERT_TRUE(std::isfinite(expected[i])) << describe(table, queries, shape);
    ASSERT_TRUE(std::isfinite(found[i])) << describe(table, queries, shape) << " at " << i;
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(found[i] - expected[i]));
  }
  EXPECT_GT(largest, 0.0f);
  EXPECT_LE(worst, tolerance * largest) << describe(table, queries, shape);
}

// Scores of a few units are exact to some 1e-6, and so are the weights.
constexpr float kTolerance = 5e-6f;

// Where the prefill attention is the one in bfloat16.
bool use_bf16(KernelTable& table) {
  table.prefill_attention = table.prefill_attention_bf16;
  return table.prefill_attention != nullptr;
}

class PrefillAttention : public TableTest {
 protected:
  bool rounds() const { return table().prefill_attention == table().prefill_attention_bf16; }
  // bfloat16 has eight bits of mantissa, in queries and weights; a score of a few units then moves its weight
  // by a percent or two.
  float tolerance() const { return rounds() ? 3e-2f : kTolerance; }

  void expect_like_reference(const Queries& queries, const CacheShape& shape, unsigned seed) const {
    expect_like_reference(queries, shape, seed, tolerance());
  }
  void expect_like_reference(const Queries& queries, const CacheShape& shape, unsigned seed,
                             float tolerance) const {
    PagedCache cache = cache_for(queries, shape, seed);
    kernels::expect_like_reference(table(), queries, shape, cache, seed, tolerance);
  }
};

TEST_P(PrefillAttention, RandomShapes) {
  constexpr int kHeadDims[] = {16, 32, 48, 64, 80, 96, 112, 128, 256};
  constexpr int kBlockSizes[] = {8, 16, 24, 32, 40, 48, 64, 128};
  std::mt19937 random(11);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  for (unsigned trial = 0; trial < 120; ++trial) {
    CacheShape shape;
    shape.head_dim = kHeadDims[pick(0, 8)];
    shape.block_size = kBlockSizes[pick(0, 7)];
    shape.k_dtype = kCacheDtypes[pick(0, kNumCacheDtypes - 1)];
    shape.v_dtype = kCacheDtypes[pick(0, kNumCacheDtypes - 1)];
    shape.num_kv_heads = pick(1, 3);
    Queries queries;
    queries.group = pick(1, 5);
    queries.num_queries = pick(1, 40 / queries.group);
    queries.first_position = pick(0, 2) == 0 ? 0 : pick(1, 400);
    queries.window = pick(0, 1) == 0 ? 0 : pick(1, 300);
    queries.q_padding = pick(0, 3);
    queries.out_padding = pick(0, 3);
    queries.softcap = std::array{0.0f, 0.0f, 1.5f, 50.0f}[static_cast<std::size_t>(pick(0, 3))];
    expect_like_reference(queries, shape, trial);
    if (HasFatalFailure()) return;
  }
}

TEST_P(PrefillAttention, EveryPairOfTypesAndTile) {
  for (const Dtype k : kCacheDtypes)
    for (const Dtype v : kCacheDtypes)
      for (const int block_size : {8, 16})
        expect_like_reference({.num_queries = 9, .group = 3, .first_position = 150},
                              {.k_dtype = k, .v_dtype = v, .head_dim = 48, .block_size = block_size}, 5);
}

TEST_P(PrefillAttention, WideGroups) {
  for (const int group : {7, 8, 12, 16, 33, kMaxGroup})
    expect_like_reference({.num_queries = 3, .group = group, .first_position = 130}, {.head_dim = 32}, 3);
}

// Windows that begin and end in the middle of vectors, tiles, blocks and chunks, down to one position.
TEST_P(PrefillAttention, EveryWindow) {
  for (int window = 1; window < 280; window += window < 40 ? 1 : 13) {
    expect_like_reference({.num_queries = 37, .group = 1, .first_position = 230, .window = window},
                          {.head_dim = 16, .block_size = window % 2 == 0 ? 16 : 8}, 1);
    if (HasFatalFailure()) return;
  }
}

// Values below the least normal number count exactly, in keys and in values, with nothing larger to hide
// them: a kernel that took them for zeros would give zeros.
TEST_P(PrefillAttention, SubnormalsCount) {
  for (const Dtype dtype : {Dtype::fp8_e4m3, Dtype::fp8_e5m2, Dtype::float16}) {
    const float least_normal = dtype == Dtype::fp8_e4m3 ? 0x1p-6f : 0x1p-14f;
    const CacheShape shape{.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = 1};
    Queries queries{.num_queries = 8, .group = 2, .first_position = 40};
    PagedCache cache = cache_for(queries, shape, 2);
    std::mt19937 random(3);
    std::uniform_real_distribution<float> subnormal(-0.9f * least_normal, 0.9f * least_normal);
    for (int p = 0; p < queries.first_position + queries.num_queries; ++p)
      for (int d = 0; d < shape.head_dim; ++d) {
        cache.set_k(p, 0, d, subnormal(random));
        cache.set_v(p, 0, d, subnormal(random));
      }
    queries.size = 1.0f / (cache.view().k_scale[0] * least_normal);  // scores of about one
    kernels::expect_like_reference(table(), queries, shape, cache, 0, tolerance());
  }
}

// Scores in the thousands: the softmax picks one position a row and nothing overflows. (The scores' own
// rounding, some 1e-7 of them, is then a visible error in the weights where two come close.)
TEST_P(PrefillAttention, HugeScores) {
  if (rounds()) GTEST_SKIP() << "rounding moves scores in the thousands by more than they are apart";
  for (const float size : {300.0f, 3000.0f})
    expect_like_reference({.num_queries = 20, .group = 3, .first_position = 200, .size = size}, {}, 4, 1e-2f);
}

// A prompt in one call, in pieces of any length, and one position at a time: the same bits.
// Scores of hundreds, which without the cap would leave one position all the weight.
TEST_P(PrefillAttention, CappedScores) {
  for (const float softcap : {0.5f, 5.0f, 50.0f})
    for (const Dtype dtype : {Dtype::float16, Dtype::int8_per_token_head})
      expect_like_reference({.num_queries = 20,
                             .group = 3,
                             .first_position = 200,
                             .window = 90,
                             .size = rounds() ? 4.0f : 100.0f,
                             .softcap = softcap},
                            {.k_dtype = dtype, .v_dtype = dtype}, 4, rounds() ? tolerance() : 2e-5f);
}

TEST_P(PrefillAttention, PiecesGiveTheSameBits) {
  for (const int window : {0, 70}) {
    const Queries queries{.num_queries = 61, .group = 3, .first_position = 100, .window = window};
    PagedCache cache = cache_for(queries, {}, 9);
    const std::vector<float> q = random_queries(queries, 64, 9);
    const std::vector<float> whole = attend(table(), queries, cache, 1, q);
    for (const int piece : {1, 2, 7, 16, 32, 60}) {
      std::vector<float> pieces;
      for (int from = 0; from < queries.num_queries; from += piece) {
        const std::vector<float> part =
            attend(table(), queries, cache, 1, q, from, std::min(queries.num_queries, from + piece));
        pieces.insert(pieces.end(), part.begin(), part.end());
      }
      EXPECT_EQ(pieces, whole) << "in pieces of " << piece;
    }
  }
}

TEST_P(PrefillAttention, BlockSizeDoesNotChangeABit) {
  const Queries queries{.num_queries = 25, .group = 2, .first_position = 170};
  const std::vector<float> q = random_queries(queries, 80, 3);
  std::vector<float> first;
  for (const int block_size : {8, 16, 24, 48, 128}) {
    const CacheShape shape{.num_kv_heads = 1, .head_dim = 80, .block_size = block_size};
    PagedCache cache = cache_for(queries, shape, 6);
    std::mt19937 random(6);
    std::normal_distribution<float> normal;
    for (int p = 0; p < queries.first_position + queries.num_queries; ++p)
      for (int d = 0; d < shape.head_dim; ++d) {
        cache.set_k(p, 0, d, normal(random));
        cache.set_v(p, 0, d, normal(random));
      }
    const std::vector<float> out = attend(table(), queries, cache, 0, q);
    if (first.empty()) first = out;
    EXPECT_EQ(out, first) << "block_size " << block_size;
  }
}

// What no fast kernel takes must still be right.
TEST_P(PrefillAttention, OddShapesFallBackToTheReference) {
  for (const CacheShape& shape : {CacheShape{.head_dim = 64, .block_size = 12}, CacheShape{.head_dim = 40}}) {
    const Queries queries{.num_queries = 5, .group = 3, .first_position = 30, .window = 20};
    PagedCache cache = cache_for(queries, shape, 8);
    const std::vector<float> q = random_queries(queries, shape.head_dim, 8);
    EXPECT_EQ(attend(table(), queries, cache, 0, q), attend(reference(), queries, cache, 0, q));
  }
}

OCTET_INSTANTIATE_TABLES(PrefillAttention);
INSTANTIATE_TEST_SUITE_P(Rounding, PrefillAttention, testing::ValuesIn(tables_with("_rounding", use_bf16)),
                         [](const auto& instance) { return instance.param.name; });

// One position sees only itself: the output is its value, whatever the query.
TEST(PrefillAttentionReference, OnePositionGivesItsValue) {
  const Queries queries{.num_queries = 1, .group = 2};
  PagedCache cache = cache_for(queries, {.v_dtype = Dtype::float32, .head_dim = 16}, 1);
  const KvView kv = cache.view();
  const std::vector<float> out = attend(reference_table(), queries, cache, 1, random_queries(queries, 16, 1));
  const float* value = reinterpret_cast<const float*>(v_head(kv, cache.block_table()[0], 1));
  for (int i = 0; i < 32; ++i) EXPECT_FLOAT_EQ(out[static_cast<std::size_t>(i)], value[i % 16] * kv.v_scale[1]);
}

}  // namespace
}  // namespace octet::kernels
