// Attention in the quantised domain, of the reference and of every table that this machine can test.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/hopper_sum.h"
#include "kernels/kernel_table.h"
#include "quantized_oracle.h"
#include "tables.h"

namespace octet::kernels {
namespace {

constexpr AttentionMath kMaths[] = {AttentionMath::fp8, AttentionMath::fp8_hopper,
                                    AttentionMath::fp8_hopper_plain};
constexpr KvDtype kDtypes[] = {KvDtype::fp8_e4m3, KvDtype::fp8_e5m2};
constexpr float kUntouched = -12345.0f;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Result {
  std::vector<float> out;       // [queries, group, head_dim]
  std::vector<float> max, sum;  // [queries, group], where asked for
};

// Queries [from, to) of the case. The scratch is as large as the table asks for, begins as NaN and is followed
// by floats that must stay as they are.
Result attend(const KernelTable& table, const QuantizedCase& wanted, PagedCache& cache, int kv_head,
              const std::vector<float>& q, int from, int to, bool partial = false) {
  const KvView kv = cache.view();
  const std::int64_t width = wanted.group * kv.head_dim;
  const auto rows = static_cast<std::size_t>((to - from) * wanted.group);
  Result result;
  result.out.assign(rows * static_cast<std::size_t>(kv.head_dim) + 1, kUntouched);
  if (partial) {
    result.max.assign(rows, kUntouched);
    result.sum.assign(rows, kUntouched);
  }
  const std::size_t floats = table.quantized_scratch_floats(wanted.math, to - from, wanted.group, kv.head_dim);
  constexpr std::size_t kGuard = 64;
  const std::size_t bytes = ((floats + kGuard) * sizeof(float) + 63) / 64 * 64;
  const std::unique_ptr<float, decltype(&std::free)> scratch(static_cast<float*>(std::aligned_alloc(64, bytes)),
                                                             &std::free);
  std::fill_n(scratch.get(), floats, kNan);
  std::fill_n(scratch.get() + floats, kGuard, kUntouched);
  QuantizedAttentionArgs args{};
  args.math = wanted.math;
  args.q = q.data() + from * width;
  args.q_stride = width;
  args.q_scale = wanted.q_scale.empty() ? nullptr : wanted.q_scale.data();
  args.num_queries = to - from;
  args.group = wanted.group;
  args.first_position = wanted.first_position + from;
  args.window = wanted.window;
  args.begin = wanted.begin;
  args.end = wanted.end == 0 ? args.first_position + args.num_queries : wanted.end;
  args.softmax_scale = wanted.softmax_scale;
  args.kv = &kv;
  args.kv_head = kv_head;
  args.block_table = cache.block_table();
  args.out = result.out.data();
  args.out_stride = width;
  args.max = partial ? result.max.data() : nullptr;
  args.sum = partial ? result.sum.data() : nullptr;
  args.scratch = scratch.get();
  args.softcap = wanted.softcap;
  table.quantized_attention(args);
  for (std::size_t i = 0; i < kGuard; ++i)
    EXPECT_EQ(scratch.get()[floats + i], kUntouched) << "past the scratch";
  EXPECT_EQ(result.out.back(), kUntouched);
  result.out.pop_back();
  return result;
}

Result attend(const KernelTable& table, const QuantizedCase& wanted, PagedCache& cache, int kv_head,
              const std::vector<float>& q, bool partial = false) {
  return attend(table, wanted, cache, kv_head, q, 0, wanted.num_queries, partial);
}

std::vector<float> random_queries(const QuantizedCase& wanted, int head_dim, std::mt19937& random) {
  std::vector<float> q(static_cast<std::size_t>(wanted.num_queries * wanted.group * head_dim));
  std::normal_distribution<float> normal;
  for (float& x : q) x = normal(random);
  return q;
}

PagedCache cache_for(const QuantizedCase& wanted, const CacheShape& shape, std::mt19937& random) {
  const int seen = wanted.window > 0 ? std::max(0, wanted.first_position - wanted.window + 1) : 0;
  return PagedCache(shape, std::max(seen, wanted.begin), wanted.last(), random);
}

std::string describe(const QuantizedCase& wanted, const CacheShape& shape) {
  return "math " + std::to_string(static_cast<int>(wanted.math)) + " queries " +
         std::to_string(wanted.num_queries) + " group " + std::to_string(wanted.group) + " first " +
         std::to_string(wanted.first_position) + " window " + std::to_string(wanted.window) + " head_dim " +
         std::to_string(shape.head_dim) + " block " + std::to_string(shape.block_size) + " k " +
         std::string(dtype_name(shape.k_dtype)) + " v " + std::string(dtype_name(shape.v_dtype)) +
         (wanted.q_scale.empty() ? " own scales" : "");
}

void expect_like_oracle(const KernelTable& table, const QuantizedCase& wanted, const CacheShape& shape,
                        PagedCache& cache, int kv_head, const std::vector<float>& q) {
  const Result found = attend(table, wanted, cache, kv_head, q);
  QuantizedOracle oracle(wanted, cache, kv_head);
  const auto head_dim = static_cast<std::size_t>(shape.head_dim);
  for (int row = 0; row < wanted.num_queries * wanted.group; ++row) {
    const std::size_t at = static_cast<std::size_t>(row) * head_dim;
    const OracleRow expected =
        oracle.attend(q.data() + at, row % wanted.group, wanted.first_position + row / wanted.group);
    for (std::size_t d = 0; d < head_dim; ++d)
      ASSERT_NEAR(static_cast<double>(found.out[at + d]), expected.out[d], expected.tolerance[d] + 1e-30)
          << table.isa << ": " << describe(wanted, shape) << ", row " << row << " dim " << d;
  }
}

// Per tensor, per head, or on the fly.
std::vector<float> random_q_scales(int group, std::mt19937& random) {
  std::uniform_real_distribution<float> scale(0.004f, 0.02f);  // some queries saturate
  const auto kind = random() % 3;
  if (kind == 0) return {};
  std::vector<float> scales(static_cast<std::size_t>(group), scale(random));
  if (kind == 1)
    for (float& x : scales) x = scale(random);
  return scales;
}

void expect_like_oracle_on_random_shapes(const KernelTable& table, unsigned seed, int trials) {
  std::mt19937 random(seed);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  constexpr int kHeadDims[] = {64, 80, 96, 128, 256, 16, 48};
  constexpr int kBlockSizes[] = {8, 16, 32, 128, 24};
  for (int trial = 0; trial < trials; ++trial) {
    CacheShape shape{.k_dtype = kDtypes[pick(0, 1)],
                     .v_dtype = kDtypes[pick(0, 1)],
                     .num_kv_heads = pick(1, 2),
                     .head_dim = kHeadDims[pick(0, 6)],
                     .block_size = kBlockSizes[pick(0, 4)]};
    QuantizedCase wanted{.math = kMaths[trial % 3]};
    wanted.group = pick(1, 5);
    wanted.num_queries = pick(0, 1) == 0 ? 1 : pick(2, 16 / wanted.group);
    wanted.first_position = pick(0, 3) == 0 ? 0 : pick(1, 300);
    wanted.window = pick(0, 2) == 0 ? pick(1, 200) : 0;
    wanted.softmax_scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    wanted.q_scale = random_q_scales(wanted.group, random);
    wanted.softcap = std::array{0.0f, 0.0f, 2.0f, 50.0f}[static_cast<std::size_t>(trial / 3 % 4)];
    PagedCache cache = cache_for(wanted, shape, random);
    const std::vector<float> q = random_queries(wanted, shape.head_dim, random);
    expect_like_oracle(table, wanted, shape, cache, pick(0, shape.num_kv_heads - 1), q);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(QuantizedAttentionReference, IsLikeTheOracle) {
  expect_like_oracle_on_random_shapes(reference_table(), 1, 36);
}

// The sum of the reference against the integers, for operands of every pair of codes.
TEST(QuantizedAttentionReference, HopperSumsAreThoseOfIntegers) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 20000; ++trial) {
    const bool e5m2 = random() % 2 == 0;
    std::vector<Fp8Number> a, b;
    std::vector<Fp8Parts> a_parts, b_parts;
    // Of a narrow band of exponents too, where every bit that is cut off shows.
    const unsigned mask = random() % 2 == 0 ? 0xffu : 0x8fu, offset = mask == 0xffu ? 0u : 0x30u;
    for (auto k = random() % 33; k > 0; --k) {
      const auto code = [&] { return static_cast<std::uint8_t>((random() & mask) | offset); };
      const auto x = static_cast<double>(fp8_e4m3{code()}.to_float());
      const std::uint8_t y_code = code();
      const auto y = static_cast<double>(e5m2 ? fp8_e5m2{y_code}.to_float() : fp8_e4m3{y_code}.to_float());
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      a.push_back({x, -6});
      b.push_back({y, e5m2 ? -14 : -6});
      a_parts.push_back(parts_of(x, -6));
      b_parts.push_back(parts_of(y, e5m2 ? -14 : -6));
    }
    const double c = random() % 4 == 0 ? 0 : std::ldexp(static_cast<double>(random() % 20000) - 1e4, -9);
    const auto depth = static_cast<int>(a.size());
    const double found = hopper_sum(
        c, depth, [&](int k) { return a[static_cast<std::size_t>(k)]; },
        [&](int k) { return b[static_cast<std::size_t>(k)]; });
    IntegerAccumulator expected;
    expected.add(c, a_parts, b_parts);
    ASSERT_EQ(found, expected.value()) << "trial " << trial;
  }
}

// What the sources say of the hardware, by hand: 13 fraction bits, cut off towards zero, and nothing of what is
// smaller comes through, however much there is of it.
TEST(QuantizedAttentionReference, HopperSumCutsOff) {
  const auto sum = [](double c, int depth, double large, double small) {
    return hopper_sum(
        c, depth,
        [&](int k) {
          return Fp8Number{k == 0 ? large : small, -6};
        },
        [](int) {
          return Fp8Number{1.0, -6};
        });
  };
  EXPECT_EQ(sum(0, 32, 256.0, 0x1p-5), 256.0 + 31 * 0x1p-5);  // the last bit: 2^(8 - 13)
  EXPECT_EQ(sum(0, 32, 256.0, 0x1.ep-6), 256.0);              // 31 times almost as much, lost
  EXPECT_EQ(sum(0, 32, -256.0, 0x1.ep-6), -256.0);            // towards zero
  EXPECT_EQ(sum(0x1p+13 + 1, 1, 1.0, 0), 0x1p+13 + 2);        // the accumulator has 14 bits
  EXPECT_EQ(sum(0x1p+14, 32, 1.0, 1.0), 0x1p+14);             // 32 ones beside 2^14: none counts
  EXPECT_EQ(sum(-1.0, 1, 1.0, 0), 0.0);
  EXPECT_TRUE(std::isnan(sum(0, 2, std::nan(""), 1.0)));
}

class QuantizedAttention : public TableTest {};

TEST_P(QuantizedAttention, IsLikeTheOracle) { expect_like_oracle_on_random_shapes(table(), 3, 90); }

TEST_P(QuantizedAttention, WideGroups) {
  std::mt19937 random(4);
  for (const int group : {7, 12, 33, kMaxGroup}) {
    const CacheShape shape{.k_dtype = KvDtype::fp8_e4m3, .v_dtype = KvDtype::fp8_e4m3, .head_dim = 32};
    const QuantizedCase wanted{.num_queries = 2, .group = group, .first_position = 140, .softmax_scale = 0.2f};
    PagedCache cache = cache_for(wanted, shape, random);
    expect_like_oracle(table(), wanted, shape, cache, 1, random_queries(wanted, 32, random));
  }
}

// Every finite code as a key and as a value, with scores small enough that all weights count.
TEST_P(QuantizedAttention, EveryCode) {
  std::mt19937 random(5);
  for (const AttentionMath math : kMaths)
    for (const KvDtype dtype : kDtypes) {
      const CacheShape shape{.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = 1, .head_dim = 64};
      const QuantizedCase wanted{
          .math = math, .num_queries = 3, .group = 2, .first_position = 253, .softmax_scale = 1e-3f};
      PagedCache cache = cache_for(wanted, shape, random);
      for (int p = 0; p < 256; ++p)
        for (int d = 0; d < 64; ++d) {
          const auto code = static_cast<std::uint8_t>(p * 5 + d * 37);
          const float x = dtype == KvDtype::fp8_e4m3 ? fp8_e4m3{code}.to_float() : fp8_e5m2{code}.to_float();
          cache.set_k(p, 0, d, std::isfinite(x) ? x : 0.0f);
          cache.set_v(p, 0, d, std::isfinite(x) ? x : 0.0f);
        }
      expect_like_oracle(table(), wanted, shape, cache, 0, random_queries(wanted, 64, random));
    }
}

// With equal scores every weight is 2^8 and every sum is known to the bit: one of integers, in groups of 32,
// tile by tile from the latest on, in one narrow accumulator or added up in float32.
TEST_P(QuantizedAttention, HopperSumsOfValuesAreExact) {
  std::mt19937 random(6);
  constexpr int kPositions = 512, kDims = 80;
  for (const KvDtype dtype : kDtypes)
    for (const AttentionMath math : {AttentionMath::fp8_hopper, AttentionMath::fp8_hopper_plain}) {
      const CacheShape shape{.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = 1, .head_dim = kDims};
      const QuantizedCase wanted{.math = math, .group = 3, .first_position = kPositions - 1};
      PagedCache cache(shape, 0, kPositions, random);
      // The second case has a value as large as they get among small ones.
      for (const bool outlier : {false, true}) {
        if (outlier) cache.set_v(300, 0, 7, 1e9f);
        const std::vector<float> q(3 * kDims, 0.0f);
        const Result found = attend(table(), wanted, cache, 0, q, /*partial=*/true);
        const KvView kv = cache.view();
        for (int d = 0; d < kDims; ++d) {
          double total = 0;
          IntegerAccumulator narrow;
          for (int tile = kPositions - kQuantizedTile; tile >= 0; tile -= kQuantizedTile) {
            if (math == AttentionMath::fp8_hopper) narrow = {};
            for (int group = tile; group < tile + kQuantizedTile; group += 32) {
              std::vector<Fp8Parts> weights(32, parts_of(256.0, -6)), values;
              for (int p = group; p < group + 32; ++p)
                values.push_back(parts_of(static_cast<double>(reference::element(
                                              v_head(kv, cache.block_table()[p / kv.block_size], 0), dtype,
                                              v_offset(kv, p % kv.block_size, d))),
                                          least_exponent_of(dtype)));
              narrow.add(narrow.value(), weights, values);
            }
            total = math == AttentionMath::fp8_hopper
                        ? static_cast<double>(static_cast<float>(total + narrow.value()))
                        : narrow.value();
          }
          for (std::size_t g = 0; g < 3; ++g) {
            ASSERT_EQ(static_cast<double>(found.out[g * kDims + static_cast<std::size_t>(d)]), total / 256)
                << dtype_name(dtype) << " dim " << d;
            ASSERT_EQ(found.sum[g], static_cast<float>(kPositions));
          }
        }
      }
    }
}

// The score of one position alone, where a unit that is cut off wrongly would be a hundred times the tolerance.
TEST_P(QuantizedAttention, HopperScoresAreThoseOfIntegers) {
  std::mt19937 random(7);
  double difference = 0;
  for (const KvDtype dtype : kDtypes) {
    const CacheShape shape{.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = 1, .head_dim = 96};
    PagedCache cache(shape, 0, 150, random);
    for (int p = 0; p < 150; p += 7) {
      QuantizedCase wanted{.math = AttentionMath::fp8_hopper, .group = 3, .first_position = 149};
      wanted.begin = p;
      wanted.end = p + 1;
      const std::vector<float> q = random_queries(wanted, 96, random);
      const Result found = attend(table(), wanted, cache, 0, q, /*partial=*/true);
      QuantizedOracle oracle(wanted, cache, 0);
      QuantizedCase exact_case = wanted;
      exact_case.math = AttentionMath::fp8;
      QuantizedOracle exact_oracle(exact_case, cache, 0);
      for (int g = 0; g < 3; ++g) {
        const double expected = oracle.attend(q.data() + 96 * g, g, 149).log_sum;
        const double exact = exact_oracle.attend(q.data() + 96 * g, g, 149).log_sum;
        ASSERT_NEAR(static_cast<double>(found.max[static_cast<std::size_t>(g)]), expected,
                    1e-6 * std::max(1.0, std::abs(expected)));
        EXPECT_EQ(found.sum[static_cast<std::size_t>(g)], 1.0f);
        difference = std::max(difference, std::abs(expected - exact));
      }
    }
  }
  EXPECT_GT(difference, 5e-4);  // or the comparison would show nothing
}

// Pieces of decode attention merge to what the oracle finds for them, as the model merges them.
TEST_P(QuantizedAttention, PartialResultsMerge) {
  std::mt19937 random(8);
  const CacheShape shape{.k_dtype = KvDtype::fp8_e4m3, .v_dtype = KvDtype::fp8_e5m2, .head_dim = 64};
  for (const AttentionMath math : kMaths) {
    QuantizedCase wanted{.math = math, .group = 3, .first_position = 400};
    PagedCache cache = cache_for(wanted, shape, random);
    const std::vector<float> q = random_queries(wanted, 64, random);
    Result parts;
    std::vector<OracleRow> oracle_rows;
    for (const auto& [begin, end] : {std::pair(0, 250), std::pair(250, 401)}) {
      wanted.begin = begin;
      wanted.end = end;
      const Result part = attend(table(), wanted, cache, 1, q, /*partial=*/true);
      parts.out.insert(parts.out.end(), part.out.begin(), part.out.end());
      parts.max.insert(parts.max.end(), part.max.begin(), part.max.end());
      parts.sum.insert(parts.sum.end(), part.sum.begin(), part.sum.end());
      QuantizedOracle oracle(wanted, cache, 1);
      for (int g = 0; g < 3; ++g) oracle_rows.push_back(oracle.attend(q.data() + 64 * g, g, 400));
    }
    std::vector<float> merged(3 * 64);
    table().merge_attention({parts.out.data(), parts.max.data(), parts.sum.data(), 3, 2, 3, 64,
                             cache.view().v_scale[1], merged.data()});
    for (std::size_t g = 0; g < 3; ++g) {
      const OracleRow &first = oracle_rows[g], &second = oracle_rows[3 + g];
      const double share = 1 / (1 + std::exp(second.log_sum - first.log_sum));
      for (std::size_t d = 0; d < 64; ++d)
        ASSERT_NEAR(static_cast<double>(merged[g * 64 + d]), share * first.out[d] + (1 - share) * second.out[d],
                    2e-5 + first.tolerance[d] + second.tolerance[d]);
    }
  }
}

// A prompt in one call, in pieces of any length, and one position at a time: the same bits.
TEST_P(QuantizedAttention, PiecesGiveTheSameBits) {
  std::mt19937 random(9);
  for (const AttentionMath math : kMaths)
    for (const int window : {0, 70}) {
      const QuantizedCase wanted{
          .math = math, .num_queries = 61, .group = 3, .first_position = 100, .window = window};
      PagedCache cache =
          cache_for(wanted, {.k_dtype = KvDtype::fp8_e4m3, .v_dtype = KvDtype::fp8_e4m3}, random);
      const std::vector<float> q = random_queries(wanted, 64, random);
      const std::vector<float> whole = attend(table(), wanted, cache, 1, q).out;
      for (const int piece : {1, 7, 32, 60}) {
        std::vector<float> pieces;
        for (int from = 0; from < wanted.num_queries; from += piece) {
          const std::vector<float> part =
              attend(table(), wanted, cache, 1, q, from, std::min(wanted.num_queries, from + piece)).out;
          pieces.insert(pieces.end(), part.begin(), part.end());
        }
        EXPECT_EQ(pieces, whole) << "in pieces of " << piece << ", window " << window;
      }
    }
}

// A NaN in the query is in the output of its row, and in no other.
TEST_P(QuantizedAttention, NanIsNotLost) {
  std::mt19937 random(10);
  const CacheShape shape{.k_dtype = KvDtype::fp8_e4m3, .v_dtype = KvDtype::fp8_e4m3};
  for (const KernelTable* tried : {&table(), &reference()})
    for (const AttentionMath math : kMaths)
      for (const std::vector<float>& q_scale : {std::vector<float>{}, std::vector<float>{0.01f, 0.01f}}) {
        const QuantizedCase wanted{
            .math = math, .num_queries = 3, .group = 2, .first_position = 140, .q_scale = q_scale};
        PagedCache cache = cache_for(wanted, shape, random);
        std::vector<float> q = random_queries(wanted, 64, random);
        std::fill_n(q.begin() + 64, 64, 0.0f);  // a query of zeros, but for the NaN
        q[64 + 9] = kNan;
        const std::vector<float> out = attend(*tried, wanted, cache, 1, q).out;
        for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i / 64 == 1) << i;
      }
}

TEST_P(QuantizedAttention, OddShapesFallBackToTheReference) {
  std::mt19937 random(11);
  for (const CacheShape& shape : {CacheShape{KvDtype::fp8_e4m3, KvDtype::fp8_e4m3, 2, 64, 12},
                                  CacheShape{KvDtype::fp8_e4m3, KvDtype::fp8_e5m2, 2, 40, 16}}) {
    const QuantizedCase wanted{
        .math = AttentionMath::fp8_hopper, .num_queries = 4, .group = 3, .first_position = 30, .window = 20};
    PagedCache cache = cache_for(wanted, shape, random);
    const std::vector<float> q = random_queries(wanted, shape.head_dim, random);
    EXPECT_EQ(attend(table(), wanted, cache, 0, q).out, attend(reference(), wanted, cache, 0, q).out);
  }
}

// On a long row each step costs more than the one before: float32, FP8 numbers, narrow sums of a tile, and
// above all one narrow accumulator for 4,096 values that do not average out.
TEST_P(QuantizedAttention, ErrorsAreInOrder) {
  std::mt19937 random(12);
  constexpr int kPositions = 4096, kDims = 64, kGroup = 4;
  const CacheShape shape{
      .k_dtype = KvDtype::fp8_e4m3, .v_dtype = KvDtype::fp8_e4m3, .num_kv_heads = 1, .head_dim = kDims};
  PagedCache cache(shape, 0, kPositions, random);
  std::normal_distribution<float> normal;
  for (int p = 0; p < kPositions; ++p)
    for (int d = 0; d < kDims; ++d) {
      cache.set_k(p, 0, d, normal(random));
      cache.set_v(p, 0, d, 1.0f + normal(random));
    }
  QuantizedCase wanted{.group = kGroup, .first_position = kPositions - 1};
  wanted.softmax_scale = 0.125f / cache.view().k_scale[0];
  const std::vector<float> q = random_queries(wanted, kDims, random);

  const KvView kv = cache.view();
  const auto decode = [&](const KernelTable& with) {
    std::vector<float> out(kGroup * kDims), max(kGroup), sum(kGroup);
    with.decode_attention({q.data(), kGroup, wanted.softmax_scale, &kv, 0, cache.block_table(), 0, kPositions,
                           out.data(), max.data(), sum.data()});
    for (std::size_t i = 0; i < out.size(); ++i) out[i] *= kv.v_scale[0] / sum[i / kDims];
    return out;
  };
  const std::vector<float> exact = decode(reference());
  const auto error = [&](const std::vector<float>& out) {
    double squares = 0, whole = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      squares += std::pow(static_cast<double>(out[i]) - static_cast<double>(exact[i]), 2);
      whole += std::pow(static_cast<double>(exact[i]), 2);
    }
    return std::sqrt(squares / whole);
  };
  const double fp32 = error(decode(table()));
  std::vector<double> errors;
  for (const AttentionMath math : kMaths) {
    wanted.math = math;
    errors.push_back(error(attend(table(), wanted, cache, 0, q).out));
  }
  RecordProperty("fp32", std::to_string(fp32));
  for (std::size_t i = 0; i < 3; ++i) RecordProperty("math" + std::to_string(i + 1), std::to_string(errors[i]));
  EXPECT_LT(fp32, 1e-5);
  EXPECT_LT(100 * fp32, errors[0]);
  EXPECT_LE(errors[0], errors[1]);
  EXPECT_LT(5 * errors[1], errors[2]);
  EXPECT_LT(errors[2], 0.5);
}

OCTET_INSTANTIATE_TABLES(QuantizedAttention);

}  // namespace
}  // namespace octet::kernels
