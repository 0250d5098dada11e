#include "evaluate/layer_fidelity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "evaluate/stored_values.h"
#include "evaluate/tiny_subject.h"
#include "model/sequence_runner.h"
#include "numeric/fp8.h"

namespace octet::evaluate {
namespace {

const char* const kIsas[] = {"reference", "avx2", "avx512", "avx512_bf16"};

// What is read back is what the codec says, in every kernel table: also where a head is wider than a group.
TEST(StoredValues, AreWhatTheCodecStores) {
  for (const char* isa : kIsas) {
    if (!kernels::isa_supported(isa)) continue;
    SCOPED_TRACE(isa);
    const kernels::KernelTable& table = *kernels::find_table(isa);
    constexpr int kHeadDim = 128, kHeads = 2;
    kv::KvScales scales = kv::KvScales::ones(1, kHeads);
    scales.layers[0] = {{0.5f, 0.037f}, {2.0f, 0.011f}, {}};
    kv::KvCache cache({1, kHeads, kHeadDim, 16, KvDtype::fp8_e4m3, KvDtype::fp8_e5m2}, 3, scales);
    std::mt19937_64 generator(1);
    std::vector<float> k(kHeads * kHeadDim), v(k.size());
    for (float& x : k) x = 9 * tests::tiny::uniform(generator);
    for (float& x : v) x = 3 * tests::tiny::uniform(generator);
    table.store_kv({k.data(), v.data(), &cache.view(0), 37});
    StoredValues stored(table, kHeadDim);
    const std::int32_t blocks[] = {1, 2, 0};  // slot 37 is in block 2: position 21
    for (int head = 0; head < kHeads; ++head) {
      float key[kHeadDim], value[kHeadDim];
      stored.read(cache.view(0), blocks, head, 21, key, value);
      const auto h = static_cast<std::size_t>(head);
      for (std::size_t d = 0; d < kHeadDim; ++d) {
        const float k_scale = scales.layers[0].k[h], v_scale = scales.layers[0].v[h];
        const float k_expected = fp8_e4m3::from_float(k[h * kHeadDim + d] / k_scale).to_float() * k_scale;
        const float v_expected = fp8_e5m2::from_float(v[h * kHeadDim + d] / v_scale).to_float() * v_scale;
        EXPECT_NEAR(key[d], k_expected, 1e-5 * std::abs(k_expected)) << d;
        EXPECT_NEAR(value[d], v_expected, 1e-5 * std::abs(v_expected)) << d;
      }
    }
  }
}

// Records what the model computes, so that the sums can be made again from it.
struct Recorder : model::AttentionObserver {
  std::vector<float> k, v, output;  // of layer 1
  void append(std::vector<float>& to, const model::HeadRows& rows) const {
    for (int t = 0; t < rows.num_tokens; ++t)
      to.insert(to.end(), rows.data + t * rows.stride,
                rows.data + t * rows.stride + rows.num_heads * rows.head_dim);
  }
  void observe_qkv(int layer, const model::HeadRows&, const model::HeadRows& keys,
                   const model::HeadRows& values) override {
    if (layer != 1) return;
    append(k, keys);
    append(v, values);
  }
  void observe_output(int layer, const model::HeadRows& out) override {
    if (layer == 1) append(output, out);
  }
};

TEST(LayerFidelity, SumsAreThoseOfThePlainDefinition) {
  tests::TinyModel tiny;
  const std::vector<std::int32_t> ids = tiny.text(90);
  const std::vector<Window> windows = cut_windows(ids, {}, 60, 60);
  const Subject exact = tiny.subject(KvDtype::float32);
  const float scale = 1.0f / 256;  // E4M3 reaches 1.75 then: much saturates
  const Subject subjects[] = {tiny.subject(KvDtype::float32), tiny.subject(KvDtype::fp8_e4m3, 256, scale)};
  const auto layers = measure_layers(windows, exact, subjects, tiny.table, tiny.pool, nullptr);

  tests::SequenceRunner runner(tiny.directory, {});
  Recorder recorder;
  runner.model().set_observer(&recorder);
  for (const Window& window : windows) runner.logits(window.ids, 512);
  const model::ModelConfig& c = tiny.model->config();
  ASSERT_EQ(recorder.k.size(), ids.size() * static_cast<std::size_t>(c.num_kv_heads * c.head_dim));
  ErrorSums expected;
  for (std::size_t i = 0; i < recorder.k.size(); ++i) {
    if (static_cast<int>(i) / c.head_dim % c.num_kv_heads != 1) continue;
    const double x = static_cast<double>(recorder.k[i]);
    const double y = static_cast<double>(fp8_e4m3::from_float(recorder.k[i] / scale).to_float() * scale);
    expected.absmax = std::max(expected.absmax, std::abs(x));
    ++expected.elements;
    expected.saturated += std::abs(x) > 448 * static_cast<double>(scale);
    expected.nonzero += x != 0;
    expected.underflowed += x != 0 && y == 0;
    expected.signal += x * x;
    expected.error += (x - y) * (x - y);
  }
  const ErrorSums& found = layers[1][1].k[1];
  EXPECT_GT(expected.saturated, 0);
  EXPECT_GT(expected.underflowed, 0);
  EXPECT_EQ(found.elements, expected.elements);
  EXPECT_NEAR(found.absmax, expected.absmax, 1e-4);
  EXPECT_LE(std::abs(found.saturated - expected.saturated), 1);
  EXPECT_LE(std::abs(found.underflowed - expected.underflowed), 1);
  EXPECT_NEAR(found.signal, expected.signal, 1e-4 * expected.signal);
  EXPECT_NEAR(found.error, expected.error, 1e-3 * expected.error);
  EXPECT_NEAR(found.sqnr_db(), 10 * std::log10(expected.signal / expected.error), 0.01);
}

TEST(LayerFidelity, AFloat32CacheLosesNothingAndOthersLessTheFinerTheyAre) {
  tests::TinyModel tiny;
  const std::vector<Window> windows = cut_windows(tiny.text(70), {}, 70, 70);
  const Subject exact = tiny.subject(KvDtype::float32);
  const Subject subjects[] = {tiny.subject(KvDtype::float32),  tiny.subject(KvDtype::float16),
                              tiny.subject(KvDtype::bfloat16), tiny.subject(KvDtype::fp8_e4m3),
                              tiny.subject(KvDtype::fp8_e5m2), tiny.subject(KvDtype::int8_per_token_head),
                              tiny.hadamard_subject()};
  const auto found = measure_layers(windows, exact, subjects, tiny.table, tiny.pool, nullptr);
  for (int layer = 0; layer < 2; ++layer) {
    const auto l = static_cast<std::size_t>(layer);
    EXPECT_LT(found[0][l].k[0].error, 1e-13 * found[0][l].k[0].signal);  // read as scores: float32's rounding
    EXPECT_EQ(found[0][l].output[3].error, 0);  // the same kernels over the same numbers
    EXPECT_TRUE(std::isinf(found[0][l].v[1].sqnr_db()));
    for (std::size_t s = 1; s < 4; ++s)
      for (const auto part : {&LayerErrors::k, &LayerErrors::v, &LayerErrors::output})
        EXPECT_GT((found[s][l].*part)[1].sqnr_db(), (found[s + 1][l].*part)[1].sqnr_db() + 3);
    // With a scale a vector, int8 has 7 bits: some 40 dB of keys, in and out of the transform; and the values
    // of the two are stored alike.
    EXPECT_GT(found[5][l].k[0].sqnr_db(), 38);
    EXPECT_GT(found[6][l].k[0].sqnr_db(), 38);
    EXPECT_EQ(found[5][l].v[0].error, found[6][l].v[0].error);
    EXPECT_EQ(found[6][l].k[0].absmax, found[5][l].k[0].absmax);
    EXPECT_GT(found[6][l].output[1].sqnr_db(), 30);
    // Uniform rounding errors of 3 mantissa bits: 31 to 32 dB wherever nothing underflows.
    EXPECT_NEAR(found[3][l].k[0].sqnr_db(), 31.5, 1.5);
  }
}

// Windows, caps, heads of other sizes: what tries a layer attends as the model does.
TEST(LayerFidelity, AFloat32CacheLosesNothingInAnyFamily) {
  for (const char* family : {"mistral", "qwen3_moe", "gemma2", "gemma3", "phi3", "smollm3"}) {
    SCOPED_TRACE(family);
    const std::string directory = std::string(OCTET_SOURCE_DIR "/tests/data/tiny/") + family;
    tests::RunnerOptions options;
    tests::SequenceRunner exact(directory, options), float32(directory, options);
    options.dtype = KvDtype::fp8_e4m3;
    tests::SequenceRunner fp8(directory, options);
    const auto subject = [](tests::SequenceRunner& runner) {
      return Subject{"", &runner.model(), &runner.cache()};
    };
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 80; ++i) ids.push_back(3 + 37 * i % 250);
    const Subject subjects[] = {subject(float32), subject(fp8)};
    ThreadPool pool(1);
    const auto found = measure_layers(cut_windows(ids, {}, 80, 80), subject(exact), subjects,
                                      *kernels::find_table(""), pool, nullptr);
    for (std::size_t layer = 0; layer < found[0].size(); ++layer) {
      for (const ErrorSums& head : found[0][layer].output) EXPECT_EQ(head.error, 0) << "layer " << layer;
      for (const ErrorSums& head : found[1][layer].output) EXPECT_GT(head.error, 0) << "layer " << layer;
    }
  }
}

}  // namespace
}  // namespace octet::evaluate
