#include "kv/kv_scales.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>

namespace octet::kv {
namespace {

KvScales sample_scales() {
  KvScales scales;
  scales.strategy = ScaleStrategy::attn_head;
  scales.layers = {{{0.5f, 0.25f}, {1.0f, 2.0f}, {}}, {{0.125f, 3.0f}, {0.75f, 1.5f}, {}}};
  return scales;
}

TEST(KvScales, OnesHaveTheShapeAskedFor) {
  const KvScales scales = KvScales::ones(3, 2);
  ASSERT_EQ(scales.layers.size(), 3u);
  for (const LayerScales& layer : scales.layers) {
    EXPECT_EQ(layer.k, std::vector<float>({1.0f, 1.0f}));
    EXPECT_EQ(layer.v, std::vector<float>({1.0f, 1.0f}));
    EXPECT_TRUE(layer.q.empty());
  }
}

TEST(KvScales, TheSameScalesHaveTheSameFingerprint) {
  EXPECT_EQ(sample_scales().fingerprint(), sample_scales().fingerprint());
  EXPECT_EQ(KvScales::ones(2, 2).fingerprint(), KvScales::ones(2, 2).fingerprint());
}

// What is stored depends on k and v scales alone: a per-tensor scale repeated is the same cache, and the
// query's scale is not part of it.
TEST(KvScales, TheFingerprintIsOfWhatIsStored) {
  KvScales other = sample_scales();
  other.strategy = ScaleStrategy::tensor;
  other.layers[0].q = {0.5f, 0.5f};
  EXPECT_EQ(other.fingerprint(), sample_scales().fingerprint());
}

TEST(KvScales, AnyChangeOfAKOrVScaleChangesTheFingerprint) {
  std::set<std::uint64_t> seen = {sample_scales().fingerprint()};
  std::size_t variants = 1;
  for (std::size_t layer = 0; layer < 2; ++layer) {
    for (std::size_t head = 0; head < 2; ++head) {
      for (const bool of_k : {true, false}) {
        KvScales other = sample_scales();
        auto& values = of_k ? other.layers[layer].k : other.layers[layer].v;
        values[head] *= 1.0000002f;  // one step of a float
        seen.insert(other.fingerprint());
        ++variants;
      }
    }
  }
  KvScales swapped = sample_scales();
  std::swap(swapped.layers[0].k, swapped.layers[0].v);
  seen.insert(swapped.fingerprint());
  KvScales reordered = sample_scales();
  std::swap(reordered.layers[0], reordered.layers[1]);
  seen.insert(reordered.fingerprint());
  KvScales shifted = sample_scales();  // the same numbers, another head's
  shifted.layers[0].k = {0.5f};
  shifted.layers[0].v = {0.25f, 1.0f, 2.0f};
  seen.insert(shifted.fingerprint());
  seen.insert(KvScales::ones(2, 2).fingerprint());
  seen.insert(KvScales::ones(2, 1).fingerprint());
  seen.insert(KvScales::ones(1, 2).fingerprint());
  EXPECT_EQ(seen.size(), variants + 6);
}

}  // namespace
}  // namespace octet::kv
