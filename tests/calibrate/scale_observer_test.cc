#include "calibrate/scale_observer.h"

#include <cmath>
#include <limits>
#include <random>

#include "calibrate/magnitude_histogram.h"
#include "files/expect_error.h"
#include "files/safetensors.h"

namespace octet::tests {
namespace {

using namespace calibrate;
using kv::ScaleStrategy;

constexpr int kLayers = 2, kHeads = 4, kKvHeads = 2, kHeadDim = 8;

model::ModelConfig config() {
  model::ModelConfig c;
  c.num_layers = kLayers;
  c.num_heads = kHeads;
  c.num_kv_heads = kKvHeads;
  c.head_dim = kHeadDim;
  return c;
}

// A step's fused rows, as the model has them, of seeded normal numbers.
struct Step {
  int tokens;
  std::vector<float> values;
  static constexpr int kStride = (kHeads + 2 * kKvHeads) * kHeadDim;

  Step(int num_tokens, std::uint64_t seed) : tokens(num_tokens) {
    std::mt19937_64 generator(seed);
    std::normal_distribution<float> normal;
    for (int i = 0; i < tokens * kStride; ++i) values.push_back(normal(generator));
  }
  model::HeadRows rows(int first_head, int heads, int begin = 0, int end = -1) const {
    return {values.data() + begin * kStride + first_head * kHeadDim, kStride, (end < 0 ? tokens : end) - begin,
            heads, kHeadDim};
  }
  void show(ScaleObserver& observer, int layer, int begin = 0, int end = -1) const {
    observer.observe_qkv(layer, rows(0, kHeads, begin, end), rows(kHeads, kKvHeads, begin, end),
                         rows(kHeads + kKvHeads, kKvHeads, begin, end));
  }
  // Extremes of one head (0 to 7 over q, k and v) in rows [begin, end).
  std::pair<float, float> extremes(int head, int begin, int end) const {
    float least = 1e9f, most = -1e9f;
    for (int t = begin; t < end; ++t)
      for (int i = 0; i < kHeadDim; ++i) {
        const float value = values[static_cast<std::size_t>(t * kStride + head * kHeadDim + i)];
        least = std::min(least, value);
        most = std::max(most, value);
      }
    return {least, most};
  }
};

std::unique_ptr<ScaleObserver> observer(ObserverKind kind, ScaleStrategy strategy, bool q = true) {
  return make_observer({.kind = kind, .strategy = strategy, .targets = {.q = q}}, config());
}

void show_all(ScaleObserver& observer, const Step& step, std::vector<SampleRows> samples) {
  observer.begin_step(samples);
  for (int layer = 0; layer < kLayers; ++layer) step.show(observer, layer);
}

TEST(ScaleObserver, NamesAreTheFlags) {
  for (const char* name : {"static_minmax", "minmax", "mse", "percentile"})
    EXPECT_EQ(observer_name(parse_observer(name)), name);
  expect_error(ErrorCode::invalid_argument, {"observer", "static_minmax", "'absmax'"},
               [] { parse_observer("absmax"); });
}

TEST(ScaleObserver, StaticMinMaxIsTheRangeOfEverything) {
  for (const bool q : {false, true}) {
    const auto found = observer(ObserverKind::static_minmax, ScaleStrategy::attn_head, q);
    std::vector<LayerRanges> expected(
        kLayers, {std::vector<float>(kHeads), std::vector<float>(kKvHeads), std::vector<float>(kKvHeads)});
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      const Step step(10, seed);
      show_all(*found, step, {{0, 10, true}});
      for (LayerRanges& layer : expected) {
        widen(layer.q, step.rows(0, kHeads));
        widen(layer.k, step.rows(kHeads, kKvHeads));
        widen(layer.v, step.rows(kHeads + kKvHeads, kKvHeads));
      }
    }
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      EXPECT_EQ(found->ranges()[layer].k, expected[layer].k);
      EXPECT_EQ(found->ranges()[layer].v, expected[layer].v);
      EXPECT_EQ(found->ranges()[layer].q, q ? expected[layer].q : std::vector<float>{});
    }
  }
}

// llm-compressor's definition, by hand: samples of 4, 5 and 3 tokens, the second cut over two steps.
TEST(ScaleObserver, MinMaxIsAMovingAverageOfSamples) {
  const Step step(12, 5);
  const std::pair<int, int> samples[] = {{0, 4}, {4, 9}, {9, 12}};
  for (const ScaleStrategy strategy : {ScaleStrategy::tensor, ScaleStrategy::attn_head}) {
    const auto found = observer(ObserverKind::minmax, strategy);
    found->begin_step(std::vector<SampleRows>{{0, 4, true}, {4, 7, false}});
    for (int layer = 0; layer < kLayers; ++layer) step.show(*found, layer, 0, 7);
    found->begin_step(std::vector<SampleRows>{{0, 2, true}, {2, 5, true}});
    for (int layer = 0; layer < kLayers; ++layer) step.show(*found, layer, 7, 12);

    const auto expected = [&](int head, int first, int heads) {
      float least = 0, most = 0;
      for (const auto& [begin, end] : samples) {
        auto [low, high] = step.extremes(head, begin, end);
        for (int other = first; strategy == ScaleStrategy::tensor && other < first + heads; ++other) {
          low = std::min(low, step.extremes(other, begin, end).first);
          high = std::max(high, step.extremes(other, begin, end).second);
        }
        least = begin == 0 ? low : least * 0.99f + low * 0.01f;
        most = begin == 0 ? high : most * 0.99f + high * 0.01f;
      }
      return std::max(-least, most);
    };
    for (const LayerRanges& layer : found->ranges()) {
      for (int h = 0; h < kHeads; ++h) EXPECT_FLOAT_EQ(layer.q[static_cast<std::size_t>(h)], expected(h, 0, 4));
      for (int h = 0; h < kKvHeads; ++h) {
        EXPECT_FLOAT_EQ(layer.k[static_cast<std::size_t>(h)], expected(4 + h, 4, 2));
        EXPECT_FLOAT_EQ(layer.v[static_cast<std::size_t>(h)], expected(6 + h, 6, 2));
      }
    }
  }
}

TEST(ScaleObserver, HistogramsOfHeadsGoTogetherForATensor) {
  const Step step(200, 9);
  const auto heads = observer(ObserverKind::percentile, ScaleStrategy::attn_head);
  const auto tensor = observer(ObserverKind::percentile, ScaleStrategy::tensor);
  const auto mse = observer(ObserverKind::mse, ScaleStrategy::tensor);
  for (ScaleObserver* each : {heads.get(), tensor.get(), mse.get()}) show_all(*each, step, {{0, 200, true}});
  std::vector<std::uint64_t> counts(kBins);
  float largest = 0;
  for (int head = 4; head < 6; ++head)
    for (int t = 0; t < 200; ++t)
      for (int i = 0; i < kHeadDim; ++i) {
        const float value =
            std::abs(step.values[static_cast<std::size_t>(t * Step::kStride + head * kHeadDim + i)]);
        ++counts[bin_of(value)];
        largest = std::max(largest, value);
      }
  const LayerRanges found = tensor->ranges()[1];
  EXPECT_EQ(found.k, std::vector<float>(2, percentile_of(counts, largest, 99.99)));
  EXPECT_EQ(mse->ranges()[1].k, std::vector<float>(2, least_error_clip(counts, largest)));
  EXPECT_NE(heads->ranges()[1].k[0], heads->ranges()[1].k[1]);
}

TEST(ScaleObserver, GoesOnFromItsState) {
  for (const auto kind :
       {ObserverKind::static_minmax, ObserverKind::minmax, ObserverKind::mse, ObserverKind::percentile}) {
    const Step first(6, 11), second(6, 12);
    const auto whole = observer(kind, ScaleStrategy::attn_head);
    show_all(*whole, first, {{0, 6, true}});
    const std::vector<std::byte> bytes = files::safetensors_bytes(whole->state(), {});
    show_all(*whole, second, {{0, 2, true}, {2, 6, true}});

    const auto resumed = observer(kind, ScaleStrategy::attn_head);
    const files::Safetensors read = files::read_safetensors(bytes, "state");
    resumed->restore(read.tensors);
    show_all(*resumed, second, {{0, 2, true}, {2, 6, true}});
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      EXPECT_EQ(resumed->ranges()[layer].q, whole->ranges()[layer].q);
      EXPECT_EQ(resumed->ranges()[layer].k, whole->ranges()[layer].k);
      EXPECT_EQ(resumed->ranges()[layer].v, whole->ranges()[layer].v);
    }
    const auto other = observer(kind, ScaleStrategy::attn_head, /*q=*/false);
    expect_error(ErrorCode::invalid_file, {"tensor", "expected", "F32"}, [&] { other->restore(read.tensors); });
    expect_error(ErrorCode::invalid_file, {"largest", "missing"}, [&] { other->restore({}); });
  }
}

TEST(ScaleObserver, NanAndInfinityReachTheScales) {
  for (const auto kind :
       {ObserverKind::static_minmax, ObserverKind::minmax, ObserverKind::mse, ObserverKind::percentile}) {
    for (const ScaleStrategy strategy : {ScaleStrategy::tensor, ScaleStrategy::attn_head}) {
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        Step step(5, 3);
        step.values[static_cast<std::size_t>(2 * Step::kStride + 5 * kHeadDim)] = bad;  // k, head 1
        const auto found = observer(kind, strategy);
        found->begin_step(std::vector<SampleRows>{{0, 5, true}});
        Step(5, 4).show(*found, 0);
        step.show(*found, 1);
        show_all(*found, Step(5, 6), {{0, 5, true}});
        expect_error(ErrorCode::invalid_argument, {"layer 1", "|k|", std::isnan(bad) ? "nan" : "inf"},
                     [&] { scales_from_ranges(found->ranges(), strategy); });
      }
    }
  }
}

}  // namespace
}  // namespace octet::tests
