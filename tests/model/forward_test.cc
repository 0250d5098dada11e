// The forward pass on tiny random checkpoints: against a naive oracle in double, and against itself when
// paging, chunking, batching, threads and instruction sets change.
#include "model/forward.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "kernels/gemm.h"
#include "model/naive_llama.h"
#include "model/sequence_runner.h"
#include "model/tiny_checkpoint.h"

namespace octet::tests {
namespace {

std::string tiny_directory(const std::string& name, const TinyOptions& options) {
  return write_tiny_llama(std::filesystem::temp_directory_path() / ("octet_forward_" + name), options);
}

std::vector<std::int32_t> random_ids(int count, int vocab, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < count; ++i)
    ids.push_back(static_cast<std::int32_t>(generator() % static_cast<std::uint64_t>(vocab)));
  return ids;
}

kv::KvScales uneven_scales(int layers, int heads) {
  kv::KvScales scales = kv::KvScales::ones(layers, heads);
  scales.strategy = kv::ScaleStrategy::attn_head;
  for (std::size_t l = 0; l < scales.layers.size(); ++l) {
    for (std::size_t h = 0; h < scales.layers[l].k.size(); ++h) {
      scales.layers[l].k[h] = 0.02f * static_cast<float>(1 + l + 2 * h);
      scales.layers[l].v[h] = 0.03f * static_cast<float>(2 + l + h);
    }
  }
  return scales;
}

float worst_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

void expect_equals_oracle(const std::string& directory, const RunnerOptions& options, int chunk,
                          double tolerance) {
  SequenceRunner runner(directory, options);
  const auto ids = random_ids(70, runner.config().vocab_size, 7);
  const std::vector<float> found = runner.logits(ids, chunk);
  const std::vector<Row> expected = NaiveLlama(directory).logits(ids, options.dtype, runner.cache().scales());
  const auto vocab = static_cast<std::size_t>(runner.config().vocab_size);
  double worst = 0;
  for (std::size_t t = 0; t < ids.size(); ++t)
    for (std::size_t i = 0; i < vocab; ++i)
      worst = std::max(worst, std::abs(static_cast<double>(found[t * vocab + i]) - expected[t][i]));
  EXPECT_LT(worst, tolerance) << directory << " chunk " << chunk;
}

// Float32 arithmetic differs from double by this much on these models (logits reach about 20).
constexpr double kArithmetic = 2e-3;

TEST(Forward, EqualsTheNaiveOracle) {
  const std::string directory = tiny_directory("plain", {});
  for (const int chunk : {1, 5, 70}) expect_equals_oracle(directory, {}, chunk, kArithmetic);
}

TEST(Forward, EqualsTheNaiveOracleInEveryVariant) {
  TinyOptions tied;
  tied.tie_word_embeddings = true;
  tied.bfloat16 = true;
  expect_equals_oracle(tiny_directory("tied", tied), {}, 70, kArithmetic);

  TinyOptions llama3;
  llama3.extra_config =
      R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32})";
  expect_equals_oracle(tiny_directory("llama3", llama3), {}, 33, kArithmetic);

  TinyOptions window;
  window.extra_config = R"("sliding_window": 20)";
  for (const int chunk : {1, 9, 70})
    expect_equals_oracle(tiny_directory("window", window), {}, chunk, kArithmetic);

  TinyOptions odd;  // a head size that only the reference kernels take, one KV head
  odd.head_dim = 10;
  odd.num_kv_heads = 1;
  expect_equals_oracle(tiny_directory("odd", odd), {}, 12, kArithmetic);

  TinyOptions wide;  // more heads than hidden / head_dim, no grouping
  wide.head_dim = 32;
  wide.num_kv_heads = 4;
  expect_equals_oracle(tiny_directory("wide", wide), {}, 70, kArithmetic);

  TinyOptions biased;
  biased.extra_config = R"("attention_bias": true, "mlp_bias": true)";
  for (int layer = 0; layer < biased.num_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const auto bias = [&](const char* name, int size) {
      std::vector<float> values;
      for (int i = 0; i < size; ++i) values.push_back(0.3f * std::sin(static_cast<float>(i + layer)));
      biased.extra_tensors.push_back({prefix + name, {size}, values});
    };
    bias("self_attn.q_proj.bias", 64), bias("self_attn.k_proj.bias", 32), bias("self_attn.v_proj.bias", 32);
    bias("self_attn.o_proj.bias", 32), bias("mlp.gate_proj.bias", 64), bias("mlp.up_proj.bias", 64);
    bias("mlp.down_proj.bias", 32);
  }
  for (const int chunk : {1, 40})
    expect_equals_oracle(tiny_directory("biased", biased), {}, chunk, kArithmetic);
}

// A value that rounds the other way in float32 moves by one code, so narrow types get more room; a wrong
// scale or layout would be off by whole units.
TEST(Forward, StoresTheCacheAsItsTypeSays) {
  const std::string directory = tiny_directory("dtypes", {});
  for (const KvDtype dtype : {KvDtype::float16, KvDtype::bfloat16, KvDtype::fp8_e4m3, KvDtype::fp8_e5m2}) {
    for (const int block_size : {8, 16, 64}) {
      RunnerOptions options;
      options.dtype = dtype;
      options.block_size = block_size;
      options.scales = uneven_scales(2, 2);
      expect_equals_oracle(directory, options, block_size == 16 ? 1 : 70, is_fp8(dtype) ? 0.5 : 0.1);
    }
  }
}

TEST(Forward, StoresVectorsWithTheirOwnScales) {
  const std::string directory = tiny_directory("vectors", {});
  for (const KvDtype dtype :
       {KvDtype::int8_per_token_head, KvDtype::int8_hadamard_per_token_head, KvDtype::fp8_per_token_head}) {
    for (const int block_size : {8, 16, 64}) {
      RunnerOptions options;
      options.dtype = dtype;
      options.block_size = block_size;
      const bool fp8 = dtype == KvDtype::fp8_per_token_head;
      expect_equals_oracle(directory, options, block_size == 16 ? 1 : 70, fp8 ? 0.5 : 0.05);
    }
  }
}

TEST(Forward, DoesNotDependOnThreadsOrBlockSize) {
  const std::string directory = tiny_directory("invariance", {});
  RunnerOptions options;
  options.dtype = KvDtype::fp8_e4m3;
  const auto ids = random_ids(200, 64, 3);
  const std::vector<float> expected = SequenceRunner(directory, options).logits(ids, 200);
  for (const int threads : {1, 3}) {
    options.threads = threads;
    EXPECT_EQ(SequenceRunner(directory, options).logits(ids, 200), expected) << threads << " threads";
  }
  for (const int block_size : {8, 32, 128}) {
    options.block_size = block_size;
    EXPECT_LT(worst_difference(SequenceRunner(directory, options).logits(ids, 200), expected), kArithmetic);
  }
}

// More tokens than linear layers take at once, and fewer than they pack.
TEST(Forward, ManyTokensHaveTheBitsOfFew) {
  const std::string directory = tiny_directory("many_tokens", {});
  RunnerOptions options;
  options.dtype = KvDtype::fp8_e4m3;
  const auto ids = random_ids(kernels::kGemmMostTokens + 45, 64, 4);
  const std::vector<float> expected = SequenceRunner(directory, options).logits(ids, 7);
  for (const int chunk : {static_cast<int>(ids.size()), kernels::kGemmLeastTokens})
    EXPECT_EQ(SequenceRunner(directory, options).logits(ids, chunk), expected) << chunk;
}

TEST(Forward, EveryInstructionSetAgrees) {
  const std::string directory = tiny_directory("isa", {});
  const auto ids = random_ids(100, 64, 5);
  RunnerOptions options;
  options.isa = "reference";
  const std::vector<float> expected = SequenceRunner(directory, options).logits(ids, 30);
  for (const std::string_view isa : kernels::isa_names()) {
    if (!kernels::isa_supported(isa)) {
      std::printf("skipped: this CPU lacks %s\n", std::string(isa).c_str());
      continue;
    }
    options.isa = isa;
    EXPECT_LT(worst_difference(SequenceRunner(directory, options).logits(ids, 30), expected), kArithmetic)
        << isa;
  }
}

TEST(Forward, RoundsActivationsToBfloat16WhereAsked) {
  for (const bool bfloat16_weights : {false, true}) {
    TinyOptions tiny;
    tiny.bfloat16 = bfloat16_weights;
    const std::string directory = tiny_directory(bfloat16_weights ? "rounded_bf16" : "rounded_f32", tiny);
    SequenceRunner runner(directory, {});
    const auto ids = random_ids(40, runner.config().vocab_size, 12);
    const std::vector<float> exact = runner.logits(ids, 40);
    runner.model().set_dtype(Dtype::bfloat16);
    const std::vector<float> rounded = runner.logits(ids, 40);
    // Eight bits of mantissa in every linear layer; logits reach about 20.
    EXPECT_GT(worst_difference(exact, rounded), 1e-3f);
    EXPECT_LT(worst_difference(exact, rounded), 1.0f);
    // Chunks that leave no single token over: the runner would decode that, which is float32.
    for (const int chunk : {4, 7}) EXPECT_EQ(runner.logits(ids, chunk), rounded) << chunk;
    runner.model().set_dtype(Dtype::float32);
    EXPECT_EQ(runner.logits(ids, 40), exact);
    // Where the last bit of a sum differs, a rounding may go the other way: no closer than rounding itself.
    RunnerOptions plain;
    plain.isa = "reference";
    SequenceRunner reference(directory, plain);
    reference.model().set_dtype(Dtype::bfloat16);
    EXPECT_LT(worst_difference(reference.logits(ids, 40), rounded), 0.5f);
  }
}

TEST(Forward, ABatchGivesWhatEachSequenceGivesAlone) {
  const std::string directory = tiny_directory("batch", {});
  RunnerOptions options;
  options.dtype = KvDtype::fp8_e5m2;
  SequenceRunner together(directory, options), alone(directory, options);
  constexpr int kSequences = 7;
  std::vector<RunnerSequence> sequences(kSequences);
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<std::vector<float>> expected;
  for (int s = 0; s < kSequences; ++s) {
    ids.push_back(random_ids(40 + 3 * s, 64, static_cast<std::uint64_t>(s)));
    expected.push_back(alone.logits(ids.back(), 200));
  }
  // Sequence s starts at step s with a chunk of 5 + s tokens and goes on by one or two: prefills and decodes
  // mixed.
  std::vector<std::size_t> done(kSequences, 0);
  for (int round = 0; round < 80; ++round) {
    std::vector<SequenceRunner::Chunk> chunks;
    std::vector<std::size_t> members;
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      if (static_cast<int>(s) > round || done[s] == ids[s].size()) continue;
      const std::size_t want = done[s] == 0 ? 5 + s : 1 + (static_cast<std::size_t>(round) + s) % 2;
      const std::size_t count = std::min(want, ids[s].size() - done[s]);
      const auto begin = ids[s].begin() + static_cast<std::ptrdiff_t>(done[s]);
      chunks.push_back({&sequences[s], {begin, begin + static_cast<std::ptrdiff_t>(count)}});
      members.push_back(s);
    }
    if (chunks.empty()) break;
    const std::vector<float> logits = together.step(chunks, true);
    const float* row = logits.data();
    for (std::size_t i = 0; i < members.size(); ++i) {
      for (std::size_t t = 0; t < chunks[i].ids.size(); ++t, row += 64)
        for (std::size_t v = 0; v < 64; ++v)
          ASSERT_NEAR(row[v], expected[members[i]][(done[members[i]] + t) * 64 + v], 0.3);
      done[members[i]] += chunks[i].ids.size();
    }
  }
  for (std::size_t s = 0; s < ids.size(); ++s) EXPECT_EQ(done[s], ids[s].size());
}

// Sets each layer's scales from the first step's own keys and values: what warm-up does.
class ScaleSetter : public model::AttentionObserver {
 public:
  explicit ScaleSetter(kv::KvCache& cache) : cache_(cache) {}

  void observe_qkv(int layer, const model::HeadRows& q, const model::HeadRows& k,
                   const model::HeadRows& v) override {
    EXPECT_EQ(q.num_tokens, 20);
    EXPECT_EQ(k.num_heads, cache_.layout().num_kv_heads);
    cache_.set_scales(layer, {scales(k), scales(v), {}});
    ++layers_seen;
  }
  void observe_output(int, const model::HeadRows& out) override {
    for (int i = 0; i < out.num_heads * out.head_dim; ++i) EXPECT_TRUE(std::isfinite(out.data[i]));
    ++outputs_seen;
  }
  int layers_seen = 0;
  int outputs_seen = 0;

 private:
  static std::vector<float> scales(const model::HeadRows& rows) {
    std::vector<float> absmax(static_cast<std::size_t>(rows.num_heads), 0.0f);
    for (int t = 0; t < rows.num_tokens; ++t)
      for (int i = 0; i < rows.num_heads * rows.head_dim; ++i) {
        float& largest = absmax[static_cast<std::size_t>(i / rows.head_dim)];
        largest = std::max(largest, std::abs(rows.data[t * rows.stride + i]) / 448.0f);
      }
    return absmax;
  }
  kv::KvCache& cache_;
};

TEST(Forward, AnObserverMaySetTheScalesThatItsOwnStepIsStoredWith) {
  const std::string directory = tiny_directory("observer", {});
  RunnerOptions options;
  options.dtype = KvDtype::fp8_e4m3;
  SequenceRunner observed(directory, options);
  const auto ids = random_ids(20, observed.config().vocab_size, 3);
  ScaleSetter setter(observed.cache());
  observed.model().set_observer(&setter);
  const std::vector<float> found = observed.logits(ids, 20);
  EXPECT_EQ(setter.layers_seen, observed.config().num_layers);
  EXPECT_EQ(setter.outputs_seen, observed.config().num_layers);

  // The same scales from the start, and nobody watching: the same bits.
  options.scales = observed.cache().scales();
  EXPECT_NE(options.scales.fingerprint(),
            kv::KvScales::ones(observed.config().num_layers, observed.config().num_kv_heads).fingerprint());
  EXPECT_EQ(SequenceRunner(directory, options).logits(ids, 20), found);
}

}  // namespace
}  // namespace octet::tests
