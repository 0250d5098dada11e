#include <gtest/gtest.h>

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "numeric/float16.h"
#include "paged_cache.h"
#include "tables.h"

namespace octet::kernels {
namespace {

constexpr Dtype kDtypes[] = {Dtype::float32, Dtype::float16, Dtype::bfloat16, Dtype::fp8_e4m3, Dtype::fp8_e5m2};
constexpr float kCanary = 12345.0f;

int pick(std::mt19937& random, const std::vector<int>& from) { return from[random() % from.size()]; }

struct Partial {
  std::vector<float> out, max, sum;
};

Partial run(const KernelTable& table, PagedCache& cache, const std::vector<float>& q, int group, int kv_head,
            int begin, int end, float softcap = 0.0f, int num_kv_heads = 1) {
  const KvView view = cache.view();
  const auto heads = static_cast<std::size_t>(num_kv_heads * group);
  Partial result{.out = std::vector<float>(q.size() + 1, kCanary),
                 .max = std::vector<float>(heads + 1, kCanary),
                 .sum = std::vector<float>(heads + 1, kCanary)};
  table.decode_attention({.q = q.data(),
                          .group = group,
                          .softmax_scale = 1.0f / std::sqrt(static_cast<float>(view.head_dim)),
                          .kv = &view,
                          .kv_head = kv_head,
                          .block_table = cache.block_table(),
                          .begin = begin,
                          .end = end,
                          .out = result.out.data(),
                          .max = result.max.data(),
                          .sum = result.sum.data(),
                          .softcap = softcap,
                          .num_kv_heads = num_kv_heads});
  for (std::vector<float>* written : {&result.out, &result.max, &result.sum}) {
    EXPECT_EQ(written->back(), kCanary);
    written->pop_back();
  }
  return result;
}

std::vector<float> random_queries(int group, int head_dim, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> q(static_cast<std::size_t>(group * head_dim));
  for (float& x : q) x = normal(random);
  return q;
}

// Scores err by about 1e-6 of a sum of some dozens, weights by as much relatively, sums over them likewise. Of
// avx512_bf16 it is 2^-17 of each query and weight (decode_bf16_body.h), unless it rounds them.
void expect_near(const Partial& actual, const Partial& expected, const Partial& bound, int head_dim,
                 float out_tolerance, float mass_tolerance) {
  for (std::size_t g = 0; g < actual.max.size(); ++g) {
    ASSERT_GT(actual.sum[g], 0.0f);
    const double mass = std::log(static_cast<double>(actual.sum[g])) + static_cast<double>(actual.max[g]);
    const double wanted = std::log(static_cast<double>(expected.sum[g])) + static_cast<double>(expected.max[g]);
    ASSERT_NEAR(mass, wanted, static_cast<double>(mass_tolerance) * (1.0 + std::fabs(wanted))) << "head " << g;
    for (int d = 0; d < head_dim; ++d) {
      const std::size_t i = g * static_cast<std::size_t>(head_dim) + static_cast<std::size_t>(d);
      ASSERT_NEAR(actual.out[i] / actual.sum[g], expected.out[i] / expected.sum[g],
                  out_tolerance * bound.out[i] / bound.sum[g])
          << "head " << g << " dim " << d;
    }
  }
}

// Where the decode attention is the one in bfloat16.
bool use_bf16(KernelTable& table) {
  table.decode_attention = table.decode_attention_bf16;
  return table.decode_attention != nullptr;
}

class DecodeAttentionTest : public TableTest {
 protected:
  bool splits() const { return std::string(table().isa) == "avx512_bf16"; }
  bool rounds() const { return table().decode_attention == table().decode_attention_bf16; }
  // As random_queries; where the table rounds queries, numbers that it leaves as they are.
  std::vector<float> queries(int group, int head_dim, std::mt19937& random) const {
    std::vector<float> q = random_queries(group, head_dim, random);
    if (rounds())
      for (float& x : q) x = bfloat16::from_float(x).to_float();
    return q;
  }
  // Of an output, as a share of the same sum over magnitudes: weights rounded to bfloat16 are off by 2^-9.
  float out_tolerance() const { return rounds() ? 0x1p-8f : splits() ? 1.5e-4f : 4e-5f; }
  void check(const CacheShape& shape, int group, int begin, int end, std::mt19937& random,
             float softcap = 0.0f) {
    std::ostringstream what;
    what << "k " << dtype_name(shape.k_dtype) << " v " << dtype_name(shape.v_dtype) << " head_dim "
         << shape.head_dim << " block " << shape.block_size << " group " << group << " [" << begin << ", "
         << end << ") softcap " << softcap;
    SCOPED_TRACE(what.str());
    PagedCache cache(shape, begin, end, random);
    PagedCache absolute = cache.with_absolute_values();
    const std::vector<float> q = queries(group, shape.head_dim, random);
    const int head = static_cast<int>(random() % static_cast<unsigned>(shape.num_kv_heads));
    expect_near(run(table(), cache, q, group, head, begin, end, softcap),
                run(reference(), cache, q, group, head, begin, end, softcap),
                run(reference(), absolute, q, group, head, begin, end, softcap), shape.head_dim,
                out_tolerance(), splits() ? 7.5e-5f : 2e-5f);
  }
};

TEST_P(DecodeAttentionTest, AnyShapeAndAnyPairOfTypes) {
  std::mt19937 random(11);
  for (const Dtype k : kCacheDtypes)
    for (const Dtype v : kCacheDtypes)
      for (int i = 0; i < 3; ++i) {
        const CacheShape shape{.k_dtype = k,
                               .v_dtype = v,
                               .num_kv_heads = 1 + static_cast<int>(random() % 3),
                               .head_dim = pick(random, {16, 32, 48, 64, 80, 96, 112, 128, 256}),
                               .block_size = pick(random, {8, 16, 24, 32, 40, 64, 128})};
        const int end = 1 + static_cast<int>(random() % 300);
        const int begin = random() % 2 ? 0 : static_cast<int>(random() % static_cast<unsigned>(end));
        check(shape, 1 + static_cast<int>(random() % 16), begin, end, random);
        if (HasFatalFailure()) return;
      }
}

TEST_P(DecodeAttentionTest, CappedScores) {
  std::mt19937 random(21);
  for (const Dtype k : kCacheDtypes)
    for (const Dtype v : {k, Dtype::float16, Dtype::fp8_per_token_head})
      for (const float softcap : {0.75f, 30.0f}) {
        check({.k_dtype = k, .v_dtype = v, .head_dim = 64, .block_size = pick(random, {8, 16})},
              1 + static_cast<int>(random() % 9), 37, 200, random, softcap);
        if (HasFatalFailure()) return;
      }
}

// Of one position, the largest score is the score itself.
TEST_P(DecodeAttentionTest, TheCapIsATanh) {
  for (const int block : {8, 16}) {
    std::mt19937 random(22);
    PagedCache cache(
        {.k_dtype = Dtype::float32, .v_dtype = Dtype::float32, .head_dim = 16, .block_size = block}, 0, 1,
        random);
    const KvView view = cache.view();
    std::vector<float> one(16, 0.0f), key(16 * 8, 0.0f);
    for (std::size_t i = 0; i < key.size(); i += 16) key[i] = 1.0f;
    reference().store_kv(
        {.k = key.data(), .v = key.data(), .kv = &view, .slot = std::int64_t{cache.block_table()[0]} * block});
    for (double size = 1e-6; size < 1e4; size *= 1.07)
      for (const double x : {size, -size}) {
        one[0] = static_cast<float>(x);
        const auto score = static_cast<double>(run(reference(), cache, one, 1, 0, 0, 1).max[0]);
        const double wanted = 7.0 * std::tanh(score / 7.0);
        const auto found = static_cast<double>(run(table(), cache, one, 1, 0, 0, 1, 7.0f).max[0]);
        ASSERT_NEAR(found, wanted, 1e-6 * std::abs(wanted)) << x;
      }
  }
}

TEST_P(DecodeAttentionTest, EveryBeginAndEnd) {
  std::mt19937 random(12);
  for (const int block : {8, 16})
    for (int begin = 0; begin < 36; ++begin)
      for (int end = begin + 1; end < 38; ++end) {
        check({.k_dtype = Dtype::fp8_e4m3, .v_dtype = Dtype::fp8_e5m2, .head_dim = 16, .block_size = block}, 3,
              begin, end, random);
        if (HasFatalFailure()) return;
      }
}

TEST_P(DecodeAttentionTest, EveryGroup) {
  std::mt19937 random(13);
  for (const int block : {8, 16})
    for (int group = 1; group <= kMaxGroup; group += group < 16 ? 1 : 16) {
      check({.k_dtype = Dtype::fp8_e5m2, .v_dtype = Dtype::bfloat16, .head_dim = 32, .block_size = block},
            group, 5, 150, random);
      if (HasFatalFailure()) return;
    }
}

TEST_P(DecodeAttentionTest, ShapesLeftToTheReference) {
  std::mt19937 random(14);
  for (const int head_dim : {1, 20, 40, 72})
    for (const int block : {1, 5, 12, 16}) {
      check({.k_dtype = Dtype::fp8_e4m3, .v_dtype = Dtype::float16, .head_dim = head_dim, .block_size = block},
            3, 2, 40, random);
      if (HasFatalFailure()) return;
    }
}

TEST_P(DecodeAttentionTest, SubnormalsCountExactly) {
  for (const Dtype dtype : {Dtype::fp8_e4m3, Dtype::fp8_e5m2}) {
    std::mt19937 random(15);
    PagedCache cache({.k_dtype = dtype, .v_dtype = dtype, .head_dim = 16}, 0, 1, random);
    const float least = dtype == Dtype::fp8_e4m3 ? 0x1p-9f : 0x1p-16f;
    for (int d = 0; d < 16; ++d) {
      cache.set_k(0, 0, d, least * static_cast<float>(d % 4));
      cache.set_v(0, 0, d, least * static_cast<float>(d % 4));
    }
    const std::vector<float> q(16, 1024.0f);
    const Partial result = run(table(), cache, q, 1, 0, 0, 1);
    EXPECT_EQ(result.sum[0], 1.0f);
    EXPECT_FLOAT_EQ(result.max[0], 1024.0f * 24.0f * least / 4.0f * cache.view().k_scale[0]);
    for (std::size_t d = 0; d < 16; ++d) EXPECT_EQ(result.out[d], least * static_cast<float>(d % 4));
  }
}

// Positions whose values are the 256 codes in turn (zero where the code is no finite number), as is the first's
// key: the value comes out as it is, sixteen of the same weight as sixteen times it, and a query that is 1 at
// one dim gives that dim of the key.
TEST_P(DecodeAttentionTest, EveryCodeCountsExactly) {
  constexpr int head_dim = 256, positions = 16;
  for (const Dtype dtype : {Dtype::fp8_e4m3, Dtype::fp8_e5m2, Dtype::int8_per_token_head})
    for (const int block : {8, 16})
      for (const int group : {1, 3, 4, kMaxGroup}) {
        SCOPED_TRACE(std::string(dtype_name(dtype)) + " in blocks of " + std::to_string(block) + ", group " +
                     std::to_string(group));
        std::mt19937 random(21);
        PagedCache cache(
            {.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = 1, .head_dim = head_dim, .block_size = block},
            0, positions, random);
        const KvView kv = cache.view();
        std::vector<float> expected(head_dim);
        for (int p = 0; p < positions; ++p) {
          const int slot = p % block;
          std::byte* parts[] = {k_head(kv, cache.block_table()[p / block], 0),
                                v_head(kv, cache.block_table()[p / block], 0)};
          for (int d = 0; d < head_dim; ++d) {
            std::byte& value = parts[1][v_offset(kv, slot, d)];
            value = static_cast<std::byte>(d);
            expected[static_cast<std::size_t>(d)] = reference::element(parts[1], dtype, v_offset(kv, slot, d));
            if (!std::isfinite(expected[static_cast<std::size_t>(d)])) {
              value = std::byte{0};
              expected[static_cast<std::size_t>(d)] = 0.0f;
            }
            parts[0][k_offset(kv, slot, d)] = value;
          }
          if (is_per_token_head(dtype))
            for (std::byte* part : parts)
              reference::set_element(slot_scale(part, dtype, kv, slot), KvDtype::bfloat16, 0, 1.0f);
        }
        for (int first = 0; first < head_dim; first += group) {
          std::vector<float> q(static_cast<std::size_t>(group * head_dim), 0.0f);
          for (int g = 0; g < group && first + g < head_dim; ++g)
            q[static_cast<std::size_t>(g * head_dim + first + g)] = 1.0f;
          const Partial result = run(table(), cache, q, group, 0, 0, 1);
          for (int g = 0; g < group && first + g < head_dim; ++g)
            EXPECT_FLOAT_EQ(result.max[static_cast<std::size_t>(g)],
                            expected[static_cast<std::size_t>(first + g)] / 16.0f * kv.k_scale[0])
                << first + g;
          for (std::size_t d = 0; d < head_dim; ++d) EXPECT_EQ(result.out[d], expected[d]) << d;
        }
        const std::vector<float> zeros(static_cast<std::size_t>(group * head_dim), 0.0f);
        const Partial result = run(table(), cache, zeros, group, 0, 0, positions);
        for (std::size_t i = 0; i < zeros.size(); ++i)
          EXPECT_EQ(result.out[i], 16.0f * expected[i % head_dim]) << i;
      }
}

// Several KV heads in one call give each the bits that it has alone.
TEST_P(DecodeAttentionTest, AnyKvHeadsAtOnce) {
  std::mt19937 random(23);
  for (const Dtype k : kCacheDtypes)
    for (const Dtype v : {k, Dtype::fp8_e4m3, Dtype::int8_per_token_head})
      for (int i = 0; i < 4; ++i) {
        const CacheShape shape{.k_dtype = k,
                               .v_dtype = v,
                               .num_kv_heads = 2 + static_cast<int>(random() % 7),
                               .head_dim = pick(random, {16, 20, 64, 80, 128}),
                               .block_size = pick(random, {8, 16, 24, 64, 128})};
        const int end = 1 + static_cast<int>(random() % 300);
        const int begin = random() % 2 ? 0 : static_cast<int>(random() % static_cast<unsigned>(end));
        const int first = static_cast<int>(random() % static_cast<unsigned>(shape.num_kv_heads));
        const int count = shape.num_kv_heads - first, group = 1 + static_cast<int>(random() % 8);
        const float softcap = random() % 2 ? 0.0f : 30.0f;
        PagedCache cache(shape, begin, end, random);
        const std::vector<float> q = queries(count * group, shape.head_dim, random);
        const Partial all = run(table(), cache, q, group, first, begin, end, softcap, count);
        Partial apart;
        for (int head = 0; head < count; ++head) {
          const auto at = q.begin() + std::ptrdiff_t{head} * group * shape.head_dim;
          const std::vector<float> own(at, at + std::ptrdiff_t{group} * shape.head_dim);
          const Partial one = run(table(), cache, own, group, first + head, begin, end, softcap);
          apart.out.insert(apart.out.end(), one.out.begin(), one.out.end());
          apart.max.insert(apart.max.end(), one.max.begin(), one.max.end());
          apart.sum.insert(apart.sum.end(), one.sum.begin(), one.sum.end());
        }
        ASSERT_EQ(all.out, apart.out) << dtype_name(k) << " " << dtype_name(v) << " block " << shape.block_size;
        ASSERT_EQ(all.max, apart.max);
        ASSERT_EQ(all.sum, apart.sum);
      }
}

TEST_P(DecodeAttentionTest, LargeScoresDoNotOverflow) {
  std::mt19937 random(16);
  PagedCache cache({.head_dim = 64}, 0, 200, random);
  std::vector<float> q = queries(3, 64, random);
  for (float& x : q) x *= 1024.0f;
  const Partial actual = run(table(), cache, q, 3, 0, 0, 200);
  const Partial expected = run(reference(), cache, q, 3, 0, 0, 200);
  for (std::size_t g = 0; g < 3; ++g) {
    EXPECT_NEAR(actual.max[g], expected.max[g], 1e-5f * expected.max[g]);
    for (std::size_t d = 0; d < 64; ++d) EXPECT_TRUE(std::isfinite(actual.out[g * 64 + d]));
  }
}

// One NaN in K or V makes its head's outputs NaN: all of them, or the one dim. The code of fp8_e4m3 counts as
// 480 instead, by choice: see decode_body.h.
TEST_P(DecodeAttentionTest, NanIsNotLost) {
  constexpr int group = 3, head_dim = 64, end = 100;
  for (const Dtype dtype : kDtypes) {
    std::mt19937 random(19);
    PagedCache cache({.k_dtype = dtype, .v_dtype = dtype, .head_dim = head_dim}, 0, end, random);
    const std::vector<float> q = queries(group, head_dim, random);
    PagedCache bad_value = cache, bad_key = cache;
    bad_value.set_v(77, 1, 5, std::nanf(""));
    bad_key.set_k(77, 1, 5, std::nanf(""));
    const Partial good = run(table(), cache, q, group, 1, 0, end);
    const Partial value = run(table(), bad_value, q, group, 1, 0, end);
    const Partial key = run(table(), bad_key, q, group, 1, 0, end);
    for (std::size_t i = 0; i < good.out.size(); ++i) {
      const bool lost = dtype == Dtype::fp8_e4m3;
      EXPECT_EQ(std::isnan(key.out[i] / key.sum[i / head_dim]), !lost) << dtype_name(dtype);
      EXPECT_EQ(std::isnan(value.out[i]), !lost && i % head_dim == 5) << dtype_name(dtype);
      if (i % head_dim != 5) {
        EXPECT_EQ(value.out[i], good.out[i]);
      }
    }
  }
}

TEST_P(DecodeAttentionTest, AVectorOfNansIsNotLost) {
  constexpr int group = 3, head_dim = 64, end = 100;
  for (const Dtype dtype : {Dtype::int8_per_token_head, Dtype::fp8_per_token_head}) {
    std::mt19937 random(20);
    PagedCache cache({.k_dtype = dtype, .v_dtype = dtype, .head_dim = head_dim}, 0, end, random);
    const std::vector<float> q = queries(group, head_dim, random);
    for (const bool in_key : {true, false}) {
      PagedCache bad = cache;
      bad.set_scale_nan(77, 1, in_key);
      const Partial result = run(table(), bad, q, group, 1, 0, end);
      for (std::size_t i = 0; i < result.out.size(); ++i)
        EXPECT_TRUE(std::isnan(result.out[i] / result.sum[i / head_dim])) << dtype_name(dtype) << in_key;
      const Partial before = run(table(), bad, q, group, 1, 0, 77);
      for (const float x : before.out) EXPECT_FALSE(std::isnan(x));
    }
  }
}

// Splitting a sequence and merging the parts gives the whole, in any number of parts.
TEST_P(DecodeAttentionTest, SplitsMergeToTheWhole) {
  std::mt19937 random(17);
  constexpr int group = 5, head_dim = 80, end = 333;
  PagedCache cache({.k_dtype = Dtype::fp8_e4m3, .v_dtype = Dtype::fp8_e4m3, .head_dim = head_dim}, 0, end,
                   random);
  const std::vector<float> q = queries(group, head_dim, random);
  const Partial whole = run(reference(), cache, q, group, 1, 0, end);
  for (const std::vector<int>& cuts : {std::vector<int>{0, end}, {0, 1, end}, {0, 100, 116, 332, end}}) {
    Partial parts;
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      const Partial part = run(table(), cache, q, group, 1, cuts[i], cuts[i + 1]);
      parts.out.insert(parts.out.end(), part.out.begin(), part.out.end());
      parts.max.insert(parts.max.end(), part.max.begin(), part.max.end());
      parts.sum.insert(parts.sum.end(), part.sum.begin(), part.sum.end());
    }
    const float v_scale = cache.view().v_scale[1];
    for (const KernelTable* merger : {&table(), &reference()}) {
      std::vector<float> out(static_cast<std::size_t>(group * head_dim) + 1, kCanary);
      merger->merge_attention({.partial_out = parts.out.data(),
                               .partial_max = parts.max.data(),
                               .partial_sum = parts.sum.data(),
                               .split_stride = group,
                               .num_splits = static_cast<int>(cuts.size()) - 1,
                               .group = group,
                               .head_dim = head_dim,
                               .v_scale = v_scale,
                               .out = out.data()});
      EXPECT_EQ(out.back(), kCanary);
      for (std::size_t i = 0; i + 1 < out.size(); ++i)
        ASSERT_NEAR(out[i], v_scale * whole.out[i] / whole.sum[i / head_dim], rounds() ? 1e-2f : 1e-4f);
    }
  }
}

TEST_P(DecodeAttentionTest, MergesOddHeadDims) {
  std::mt19937 random(18);
  std::normal_distribution<float> normal;
  for (const int head_dim : {1, 7, 20, 33}) {
    constexpr int splits = 3, group = 2, stride = 5;  // the heads between are others'
    std::vector<float> out(static_cast<std::size_t>(splits * stride * head_dim)), max(splits * stride),
        sum(splits * stride, 1.5f);
    for (float& x : out) x = normal(random);
    for (float& x : max) x = 5.0f * normal(random);
    std::vector<float> actual(static_cast<std::size_t>(group * head_dim) + 1, kCanary), expected = actual;
    const auto merge = [&](const KernelTable& with, std::vector<float>& to) {
      with.merge_attention({.partial_out = out.data(),
                            .partial_max = max.data(),
                            .partial_sum = sum.data(),
                            .split_stride = stride,
                            .num_splits = splits,
                            .group = group,
                            .head_dim = head_dim,
                            .v_scale = 0.7f,
                            .out = to.data()});
    };
    merge(table(), actual);
    merge(reference(), expected);
    for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6f);
  }
}

OCTET_INSTANTIATE_TABLES(DecodeAttentionTest);
INSTANTIATE_TEST_SUITE_P(Rounding, DecodeAttentionTest, testing::ValuesIn(tables_with("_rounding", use_bf16)),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace octet::kernels
