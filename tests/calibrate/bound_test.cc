// The bound from the weights is never passed, whatever the tokens, and is reached by inputs made for it.
#include "calibrate/bound.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "calibrate/largest_observer.h"
#include "model/sequence_runner.h"
#include "model/tiny_checkpoint.h"

namespace octet::tests {
namespace {

using calibrate::LargestObserver;
using calibrate::LayerRanges;

std::string directory(const std::string& name, const TinyOptions& options) {
  return write_tiny_llama(std::filesystem::path(testing::TempDir()) / ("octet_bound_" + name), options);
}

std::vector<float> random_values(int size, float most, std::mt19937_64& generator) {
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& value : values) value = most * tiny::uniform(generator);
  return values;
}

// Biases on q, k, v and o of every layer, as large as `most`.
void add_biases(TinyOptions& o, float most) {
  std::mt19937_64 generator(o.seed + 100);
  o.extra_config = R"("attention_bias": true)";
  for (int layer = 0; layer < o.num_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".self_attn.";
    const auto add = [&](const char* name, int size) {
      o.extra_tensors.push_back({prefix + name, {size}, random_values(size, most, generator)});
    };
    add("q_proj.bias", o.num_heads * o.head_dim);
    add("k_proj.bias", o.num_kv_heads * o.head_dim);
    add("v_proj.bias", o.num_kv_heads * o.head_dim);
    add("o_proj.bias", o.hidden_size);
  }
}

std::vector<LayerRanges> bound(SequenceRunner& runner) {
  ThreadPool pool(2);
  return calibrate::bound_ranges(runner.config(), runner.model().weights(), pool);
}

// What the model shows for `ids`.
std::vector<LayerRanges> measure(SequenceRunner& runner, const std::vector<std::int32_t>& ids) {
  LargestObserver observer({.targets = {.q = true}}, runner.config());
  runner.model().set_observer(&observer);
  runner.logits(ids, 64);
  runner.model().set_observer(nullptr);
  return observer.ranges();
}

// The least and the greatest of measured / bound, over all layers, heads and q, k and v.
struct Ratios {
  float least = std::numeric_limits<float>::infinity();
  float greatest = 0;

  Ratios(const std::vector<LayerRanges>& measured, const std::vector<LayerRanges>& bounds) {
    EXPECT_EQ(measured.size(), bounds.size());
    for (std::size_t layer = 0; layer < bounds.size(); ++layer) {
      add(measured[layer].q, bounds[layer].q);
      add(measured[layer].k, bounds[layer].k);
      add(measured[layer].v, bounds[layer].v);
    }
  }
  void add(const std::vector<float>& measured, const std::vector<float>& bounds) {
    ASSERT_EQ(measured.size(), bounds.size());
    for (std::size_t head = 0; head < bounds.size(); ++head) {
      least = std::min(least, measured[head] / bounds[head]);
      greatest = std::max(greatest, measured[head] / bounds[head]);
    }
  }
};

std::vector<std::int32_t> random_ids(int count, int vocab_size, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  for (std::int32_t& id : ids)
    id = static_cast<std::int32_t>(generator() % static_cast<std::uint64_t>(vocab_size));
  return ids;
}

TEST(Bound, NoTokensPassIt) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    TinyOptions o;
    o.seed = seed;
    o.bfloat16 = seed % 2 == 0;
    o.head_dim = seed % 3 == 0 ? 32 : 16;
    if (seed % 4 < 2) add_biases(o, 3.0f);
    SequenceRunner runner(directory("random", o), {});
    const std::vector<LayerRanges> bounds = bound(runner);
    const Ratios ratios(measure(runner, random_ids(250, o.vocab_size, seed)), bounds);
    EXPECT_LE(ratios.greatest, 1.0f) << "seed " << seed;
    EXPECT_GT(ratios.least, 0.1f) << "seed " << seed;  // a bound of everything would prove nothing
  }
}

// Key biases, norms of heads, layers that do not turn, heads that turn in part, cosines that are scaled.
TEST(Bound, NoTokensPassItInAnyFamily) {
  for (const char* family :
       {"qwen2", "qwen2_yarn", "qwen3", "qwen3_moe", "mixtral", "gemma2", "gemma3", "phi3", "smollm3"}) {
    SCOPED_TRACE(family);
    SequenceRunner runner(std::string(OCTET_SOURCE_DIR "/tests/data/tiny/") + family, {});
    const Ratios ratios(measure(runner, random_ids(128, runner.config().vocab_size, 3)), bound(runner));
    EXPECT_LE(ratios.greatest, 1.0f);
    EXPECT_GT(ratios.least, 0.1f);
  }
}

// y = the direction in which `row` (and, turned by the pair's angle, `other`) answers most, times the gain.
std::vector<float> adversary(const std::vector<double>& row, const std::vector<double>& other) {
  double a = 0, b = 0, c = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    a += row[i] * row[i];
    b += other[i] * other[i];
    c += row[i] * other[i];
  }
  const double angle = std::atan2(2 * c, a - b) / 2;  // of the greater principal axis of the two rows
  std::vector<float> y(row.size());
  for (std::size_t i = 0; i < row.size(); ++i)
    y[i] = static_cast<float>(100 * (std::cos(angle) * row[i] + std::sin(angle) * other[i]));
  return y;
}

std::vector<double> scaled_row(const model::Linear& linear, const std::vector<float>& gain, int row) {
  const auto* data = static_cast<const float*>(linear.weight);
  std::vector<double> values;
  for (int i = 0; i < linear.cols; ++i)
    values.push_back(double{data[static_cast<std::ptrdiff_t>(row) * linear.cols + i]} *
                     double{gain[static_cast<std::size_t>(i)]});
  return values;
}

// Embeddings that point where the rows of the first layer's k (pairs of head 0) and v (head 1) answer most, at
// every position: some position turns the pair onto one of its two dimensions.
TEST(Bound, InputsMadeForItReachIt) {
  TinyOptions o;
  o.vocab_size = 32;
  std::vector<float> embeddings;
  {
    SequenceRunner runner(directory("adversary", o), {});
    const model::LayerWeights& w = runner.model().weights().layers[0];
    const int half = o.head_dim / 2;
    for (int i = 0; i < half; ++i) {
      const std::vector<float> y =
          adversary(scaled_row(w.k, w.attention_norm, i), scaled_row(w.k, w.attention_norm, half + i));
      embeddings.insert(embeddings.end(), y.begin(), y.end());
    }
    for (int i = 0; i < o.vocab_size - half; ++i) {
      const std::vector<double> row = scaled_row(w.v, w.attention_norm, o.head_dim + i % o.head_dim);
      const std::vector<float> y = adversary(row, row);
      embeddings.insert(embeddings.end(), y.begin(), y.end());
    }
  }
  o.replaced_tensors = {{"model.embed_tokens.weight", {o.vocab_size, o.hidden_size}, embeddings}};
  SequenceRunner runner(directory("adversary", o), {});
  const std::vector<LayerRanges> bounds = bound(runner);
  std::vector<LayerRanges> most(2, {std::vector<float>(4), std::vector<float>(2), std::vector<float>(2)});
  for (std::int32_t token = 0; token < o.vocab_size; ++token) {
    const std::vector<LayerRanges> shown = measure(runner, std::vector<std::int32_t>(200, token));
    const Ratios ratios(shown, bounds);
    EXPECT_LE(ratios.greatest, 1.0f) << "token " << token;
    most[0].k[0] = std::max(most[0].k[0], shown[0].k[0]);
    most[0].v[1] = std::max(most[0].v[1], shown[0].v[1]);
  }
  // What is left is the allowance for rounding, 2^-7, and that positions are whole numbers.
  EXPECT_GT(most[0].k[0] / bounds[0].k[0], 0.985f);
  EXPECT_GT(most[0].v[1] / bounds[0].v[1], 0.99f);
}

TEST(Bound, ABiasIsAddedToValuesAndTheLengthOfItsPairToKeys) {
  TinyOptions o;
  o.num_layers = 1;
  SequenceRunner plain(directory("unbiased", o), {});
  o.extra_config = R"("attention_bias": true)";
  const auto ones = [&](int size, float value) {
    return std::vector<float>(static_cast<std::size_t>(size), value);
  };
  const std::string prefix = "model.layers.0.self_attn.";
  o.extra_tensors = {{prefix + "q_proj.bias", {64}, ones(64, 0)},
                     {prefix + "k_proj.bias", {32}, ones(32, 4)},
                     {prefix + "v_proj.bias", {32}, ones(32, -4)},
                     {prefix + "o_proj.bias", {32}, ones(32, 0)}};
  SequenceRunner biased(directory("biased", o), {});
  const std::vector<LayerRanges> without = bound(plain), with = bound(biased);
  for (std::size_t head = 0; head < 2; ++head) {
    EXPECT_NEAR(with[0].k[head], without[0].k[head] + (1 + 0x1p-7) * 4 * std::sqrt(2), 1e-4);
    EXPECT_NEAR(with[0].v[head], without[0].v[head] + (1 + 0x1p-7) * 4, 1e-4);
    EXPECT_EQ(with[0].q[head], without[0].q[head]);
  }
}

TEST(Bound, AWeightThatIsNoNumberGivesNoScale) {
  TinyOptions o;
  std::vector<float> values(32 * 32, 0.5f);
  values[40] = std::numeric_limits<float>::quiet_NaN();
  o.replaced_tensors = {{"model.layers.1.self_attn.v_proj.weight", {32, 32}, values}};
  SequenceRunner runner(directory("nan", o), {});
  try {
    calibrate::scales_from_ranges(bound(runner), kv::ScaleStrategy::attn_head);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("layer 1: the largest |v| of head 0"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace octet::tests
