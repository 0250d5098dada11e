#include "calibrate/warm_up.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "calibrate/bound.h"
#include "calibrate/largest_observer.h"
#include "model/sequence_runner.h"
#include "model/tiny_checkpoint.h"

namespace octet::tests {
namespace {

using calibrate::LayerRanges;
using calibrate::WarmUpObserver;
using kv::ScaleStrategy;

std::string directory(const std::string& name, const TinyOptions& options = {}) {
  return write_tiny_llama(std::filesystem::path(testing::TempDir()) / ("octet_warm_up_" + name), options);
}

RunnerOptions fp8() {
  RunnerOptions options;
  options.dtype = KvDtype::fp8_e4m3;
  return options;
}

// The prompt alone in one step.
void run_alone(SequenceRunner& runner, const std::vector<std::int32_t>& ids) {
  runner.logits(ids, static_cast<int>(ids.size()));
}

TEST(WarmUp, RandomTokensAreTheSameForOneSeedAndInsideTheVocabulary) {
  const std::vector<std::int32_t> ids = calibrate::random_tokens(500, 64, 42);
  EXPECT_EQ(ids, calibrate::random_tokens(500, 64, 42));
  EXPECT_NE(ids, calibrate::random_tokens(500, 64, 43));
  EXPECT_EQ(*std::min_element(ids.begin(), ids.end()), 0);
  EXPECT_EQ(*std::max_element(ids.begin(), ids.end()), 63);
}

TEST(WarmUp, RangesAreThoseOfAFloat32CacheHoweverTheTokensAreCut) {
  SequenceRunner runner(directory("ranges"), {});
  const std::vector<std::int32_t> ids = calibrate::random_tokens(100, 64, 1);
  calibrate::LargestObserver observer({.targets = {.q = true}}, runner.config());
  runner.model().set_observer(&observer);
  run_alone(runner, ids);
  const std::vector<LayerRanges> whole = calibrate::ranges_of_tokens(runner.model(), ids, 1024);
  const std::vector<LayerRanges> pieces = calibrate::ranges_of_tokens(runner.model(), ids, 7);
  for (std::size_t layer = 0; layer < whole.size(); ++layer) {
    EXPECT_EQ(whole[layer].k, observer.ranges()[layer].k);
    EXPECT_EQ(whole[layer].v, observer.ranges()[layer].v);
    for (std::size_t head = 0; head < 2; ++head) {
      EXPECT_NEAR(pieces[layer].k[head], whole[layer].k[head], 1e-4 * whole[layer].k[head]);
      EXPECT_NEAR(pieces[layer].v[head], whole[layer].v[head], 1e-4 * whole[layer].v[head]);
    }
  }
}

TEST(WarmUp, TheFirstPromptSetsTheScalesThatItIsStoredWith) {
  for (const auto strategy : {ScaleStrategy::tensor, ScaleStrategy::attn_head}) {
    SequenceRunner runner(directory("prompt"), fp8());
    WarmUpObserver observer(runner.cache(), strategy, true);
    runner.model().set_observer(&observer);
    EXPECT_TRUE(observer.waiting());
    const std::vector<std::int32_t> prompt = calibrate::random_tokens(20, 64, 2);
    const std::vector<float> logits = runner.logits(prompt, 20);
    EXPECT_FALSE(observer.waiting());
    EXPECT_EQ(observer.prompt_tokens(), 20);
    EXPECT_EQ(observer.stored_values(), 20 * 2 * 2 * 2 * 16);  // tokens, k and v, layers, heads, dimensions
    EXPECT_EQ(observer.saturated_values(), 0);

    // The first layer does not depend on the cache: its ranges are those of any run.
    const LayerRanges first = calibrate::ranges_of_tokens(runner.model(), prompt, 20)[0];
    const kv::LayerScales& scales = runner.cache().scales().layers[0];
    const bool heads = strategy == ScaleStrategy::attn_head;
    EXPECT_EQ(scales.k[0],
              (heads ? first.k[0] : std::max(first.k[0], first.k[1])) * calibrate::kWarmUpHeadroom / 448);
    EXPECT_EQ(scales.v[1],
              (heads ? first.v[1] : std::max(first.v[0], first.v[1])) * calibrate::kWarmUpHeadroom / 448);
    EXPECT_EQ(scales.k[0] == scales.k[1], !heads);

    // A cache that had these scales from the start gives the same, and a second prompt changes nothing.
    RunnerOptions options = fp8();
    options.scales = runner.cache().scales();
    EXPECT_EQ(SequenceRunner(directory("prompt"), options).logits(prompt, 20), logits);
    const std::uint64_t fingerprint = options.scales.fingerprint();
    run_alone(runner, calibrate::random_tokens(50, 64, 3));
    EXPECT_EQ(runner.cache().scales().fingerprint(), fingerprint);
  }
}

TEST(WarmUp, TheFirstPromptSetsTheScalesOfEveryFamily) {
  for (const char* family :
       {"mistral", "qwen2", "qwen3", "qwen3_moe", "mixtral", "gemma2", "gemma3", "phi3", "smollm3"}) {
    SCOPED_TRACE(family);
    SequenceRunner runner(std::string(OCTET_SOURCE_DIR "/tests/data/tiny/") + family, fp8());
    WarmUpObserver observer(runner.cache(), ScaleStrategy::attn_head, true);
    runner.model().set_observer(&observer);
    const std::vector<float> logits = runner.logits(calibrate::random_tokens(60, 256, 2), 60);
    EXPECT_FALSE(observer.waiting());
    EXPECT_EQ(observer.saturated_values(), 0);
    EXPECT_TRUE(std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }));
    for (const kv::LayerScales& layer : runner.cache().scales().layers)
      for (const std::vector<float>* scales : {&layer.k, &layer.v})
        for (const float scale : *scales) EXPECT_TRUE(scale > 0 && scale < 1) << scale;
  }
}

TEST(WarmUp, WhatElseIsInTheFirstBatchDoesNotCount) {
  const std::vector<std::int32_t> prompt = calibrate::random_tokens(9, 64, 4);
  const auto fingerprint = [&](const std::vector<std::int32_t>& other) {
    SequenceRunner runner(directory("batch"), fp8());
    WarmUpObserver observer(runner.cache(), ScaleStrategy::attn_head, true);
    runner.model().set_observer(&observer);
    observer.expect_prompt(9);
    RunnerSequence first, second;
    runner.step({{&first, prompt}, {&second, other}}, false);
    EXPECT_EQ(observer.prompt_tokens(), 9);
    return runner.cache().scales().fingerprint();
  };
  EXPECT_EQ(fingerprint(calibrate::random_tokens(30, 64, 5)), fingerprint(calibrate::random_tokens(12, 64, 6)));
}

TEST(WarmUp, CountsExactlyWhatIsBeyondTheScales) {
  RunnerOptions options = fp8();
  SequenceRunner reference(directory("count"), {});
  const std::vector<std::int32_t> ids = calibrate::random_tokens(40, 64, 7);
  // Scales at half of what comes, in layer 0 alone: others are far too large.
  std::vector<LayerRanges> ranges = calibrate::ranges_of_tokens(reference.model(), ids, 64);
  for (float& range : ranges[0].k) range /= 2;
  for (float& range : ranges[0].v) range /= 2;
  for (float& range : ranges[1].k) range *= 100;
  for (float& range : ranges[1].v) range *= 100;
  options.scales = calibrate::scales_from_ranges(ranges, ScaleStrategy::attn_head);
  SequenceRunner runner(directory("count"), options);

  // Counts by itself, with a test that is plainly right.
  struct Count final : model::AttentionObserver {
    void observe_qkv(int layer, const model::HeadRows&, const model::HeadRows& k,
                     const model::HeadRows& v) override {
      if (layer == 0) add(k, scales->k), add(v, scales->v);
    }
    void add(const model::HeadRows& rows, const std::vector<float>& head_scales) {
      for (int t = 0; t < rows.num_tokens; ++t)
        for (int i = 0; i < rows.num_heads * rows.head_dim; ++i) {
          const float value = std::abs(rows.data[t * rows.stride + i]);
          beyond += value > head_scales[static_cast<std::size_t>(i / rows.head_dim)] * 448.0f ? 1 : 0;
        }
    }
    const kv::LayerScales* scales = nullptr;
    std::int64_t beyond = 0;
  } plain;
  plain.scales = &options.scales.layers[0];
  reference.model().set_observer(&plain);
  run_alone(reference, ids);

  WarmUpObserver observer(runner.cache(), ScaleStrategy::attn_head, false);
  runner.model().set_observer(&observer);
  run_alone(runner, ids);
  EXPECT_GT(plain.beyond, 0);
  EXPECT_EQ(observer.saturated_values(), plain.beyond);
}

TEST(WarmUp, ScalesFromTheBoundSaturateNothing) {
  TinyOptions o;
  o.bfloat16 = true;
  RunnerOptions options = fp8();
  {
    SequenceRunner runner(directory("bound", o), {});
    ThreadPool pool(1);
    options.scales = calibrate::scales_from_ranges(
        calibrate::bound_ranges(runner.config(), runner.model().weights(), pool), ScaleStrategy::attn_head);
  }
  SequenceRunner runner(directory("bound", o), options);
  WarmUpObserver observer(runner.cache(), ScaleStrategy::attn_head, false);
  runner.model().set_observer(&observer);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) run_alone(runner, calibrate::random_tokens(200, 64, seed));
  EXPECT_EQ(observer.stored_values(), 5 * 200 * 2 * 2 * 2 * 16);
  EXPECT_EQ(observer.saturated_values(), 0);
}

TEST(WarmUp, AFirstPromptThatGivesNoScaleIsAnErrorAndTheNextOneCounts) {
  TinyOptions o;
  std::vector<float> zeros(32 * 32, 0.0f);
  o.replaced_tensors = {{"model.layers.1.self_attn.v_proj.weight", {32, 32}, zeros}};
  SequenceRunner runner(directory("zero", o), fp8());
  WarmUpObserver observer(runner.cache(), ScaleStrategy::tensor, true);
  runner.model().set_observer(&observer);
  for (int time = 0; time < 2; ++time) {
    try {
      run_alone(runner, {1, 2, 3});
      FAIL() << "expected an Error";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("layer 1: the largest |v|"), std::string::npos) << error.what();
    }
    EXPECT_TRUE(observer.waiting());
  }
}

}  // namespace
}  // namespace octet::tests
