#include <gtest/gtest.h>
#include <octet/bench.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "llm/tiny_family.h"

namespace octet {
namespace {

struct BenchModel {
  tests::ScratchFolder folder;
  BenchOptions options;
  BenchModel() {
    options.model = tests::write_tiny_llm(folder.path());
    options.depths = {0, 40, 100};
    options.prefill_tokens = 20;
    options.decode_tokens = 5;
    options.block_size = 16;
    options.runs = 2;
    options.threads = 2;
  }
};

TEST(Bench, MeasuresEveryDepthOfEveryDtype) {
  BenchModel bench;
  std::size_t calls = 0;
  const BenchResult result = run_benchmark(bench.options, [&](const BenchResult& so_far) {
    EXPECT_EQ(so_far.rows.size(), calls++);
    return true;
  });
  ASSERT_EQ(result.rows.size(), 9u);
  EXPECT_EQ(calls, 10u);
  EXPECT_EQ(result.threads, 2);
  EXPECT_GT(result.read_bandwidth, 1e8);
  for (std::size_t i = 0; i < result.rows.size(); ++i) {
    const BenchRow& row = result.rows[i];
    EXPECT_EQ(row.kv_cache_dtype, bench.options.kv_cache_dtypes[i / 3]);
    EXPECT_EQ(row.depth, bench.options.depths[i % 3]);
    for (const BenchRate& rate : {row.prefill, row.decode}) {
      EXPECT_GT(rate.least, 0);
      EXPECT_LE(rate.least, rate.median);
      EXPECT_LE(rate.median, rate.most);
    }
    // The mean of depth + 1 … depth + 5 tokens of cache.
    EXPECT_EQ(row.decode_bytes, result.weight_bytes + row.bytes_per_token * (row.depth + 3));
  }
  EXPECT_EQ(result.rows[0].dtype, "float32");
  EXPECT_EQ(result.rows[3].dtype, "fp8_e4m3");
  EXPECT_EQ(result.rows[6].dtype, "fp8_e5m2");
}

// 64 bytes a token and layer in FP8: one layer reads all, the other 24 tokens at most.
TEST(Bench, AWindowIsAllThatIsRead) {
  BenchModel bench;
  tests::TinyOptions windowed;
  windowed.extra_config = R"("sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"])";
  bench.options.model = tests::write_tiny_llm(bench.folder.path(), windowed);
  bench.options.kv_cache_dtypes = {"fp8"};
  bench.options.depths = {0, 22, 100};
  const BenchResult result = run_benchmark(bench.options);
  ASSERT_EQ(result.rows.size(), 3u);
  EXPECT_EQ(result.rows[0].decode_bytes, result.weight_bytes + 64 * (3 + 3));
  EXPECT_EQ(result.rows[1].decode_bytes, result.weight_bytes + 64 * (25 * 5 + 23 + 4 * 24) / 5);
  EXPECT_EQ(result.rows[2].decode_bytes, result.weight_bytes + 64 * (103 + 24));
}

// Two of eight experts in two layers of three, each of three matrices of 64 x 32 in bfloat16: eight tokens
// choose 8 (1 - 0.75^8) of them.
TEST(Bench, OfAMixtureTheChosenExpertsAreRead) {
  BenchModel bench;
  bench.options.model = tests::write_tiny_family(bench.folder.path(), "qwen3_moe");
  bench.options.kv_cache_dtypes = {"fp8"};
  bench.options.depths = {0};
  bench.options.batches = {1, 8};
  constexpr std::int64_t kExperts = 2 * 8 * 3 * 64 * 32 * 2, kEmbedding = 256 * 64 * 2;
  for (const char* quantization : {"", "int8"}) {
    bench.options.quantization = quantization;
    const BenchResult result = run_benchmark(bench.options);
    ASSERT_EQ(result.rows.size(), 2u);
    const std::int64_t cache = result.rows[0].bytes_per_token * 3;
    EXPECT_EQ(result.rows[0].decode_bytes, result.weight_bytes + cache);
    EXPECT_NEAR(static_cast<double>(result.rows[1].decode_bytes - result.weight_bytes - 8 * cache),
                static_cast<double>(result.expert_bytes) * (0.75 - std::pow(0.75, 8)), 1);
    EXPECT_EQ(result.weight_bytes, result.checkpoint_bytes - kEmbedding - result.expert_bytes * 3 / 4);
    if (*quantization != 0)
      EXPECT_LT(result.expert_bytes, kExperts * 2 / 3);
    else
      EXPECT_EQ(result.expert_bytes, kExperts);
  }
}

TEST(Bench, TakesKeysApartAndSkipsLayers) {
  BenchModel bench;
  bench.options.kv_cache_dtypes = {"fp8"};
  bench.options.kv_cache_dtype_k = "float16";
  bench.options.kv_cache_dtype_skip_layers = {"1"};
  bench.options.depths = {0};
  const BenchResult result = run_benchmark(bench.options);
  EXPECT_EQ(result.rows.at(0).dtype, "k float16, v fp8_e4m3 (1 layer), float32 (1 layer)");
  EXPECT_EQ(result.rows.at(0).bytes_per_token, 2 * 16 * (2 + 1 + 4 + 4));
}

TEST(Bench, BatchesDecodeTogether) {
  BenchModel bench;
  bench.options.kv_cache_dtypes = {"fp8"};
  bench.options.depths = {40, 100};
  bench.options.batches = {1, 3};
  for (const bool mixed : {false, true}) {
    bench.options.mixed_lengths = mixed;
    const BenchResult result = run_benchmark(bench.options);
    ASSERT_EQ(result.rows.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
      const BenchRow& row = result.rows[i];
      EXPECT_EQ(row.depth, i < 2 ? 40 : 100);
      EXPECT_EQ(row.batch, i % 2 == 0 ? 1 : 3);
      EXPECT_EQ(row.prefill.median > 0, row.batch == 1);
      EXPECT_GT(row.decode.least, 0);
      // Each of the batch has `depth` tokens, or all of them on average: 20, 40, 60 and 50, 100, 150.
      EXPECT_EQ(row.decode_bytes, result.weight_bytes + row.batch * row.bytes_per_token * (row.depth + 3));
      EXPECT_DOUBLE_EQ(row.decode_bandwidth,
                       static_cast<double>(row.decode_bytes) * row.decode.median / row.batch);
    }
  }
}

TEST(Bench, TellsHowLongAStartTakesAndThePeakOfMemory) {
  BenchModel bench;
  bench.options.depths = {0};
  bench.options.kv_cache_dtypes = {"fp8"};
  EXPECT_EQ(run_benchmark(bench.options).start.load_seconds.most, 0);
  bench.options.start = true;
  const BenchResult result = run_benchmark(bench.options);
  const BenchStart& start = result.start;
  EXPECT_GT(start.load_seconds.least, 0);
  EXPECT_LT(start.load_seconds.least, start.first_token_seconds.least);
  EXPECT_LT(start.first_token_seconds.most, 60);
  EXPECT_GT(result.checkpoint_bytes, result.weight_bytes);  // here the embedding is not the output matrix
  const BenchRow& row = result.rows.at(0);
  EXPECT_EQ(row.cache_bytes, 2 * 16 * row.bytes_per_token);  // two blocks for 20 tokens
  if (row.peak_memory_bytes != 0) {                          // 0 where the system does not say
    EXPECT_GT(row.peak_memory_bytes, result.checkpoint_bytes + row.cache_bytes);
  }
}

TEST(Bench, RefusesACacheThatTheMachineHasNoRoomFor) {
  BenchModel bench;
  bench.options.model = tests::write_tiny_llm(bench.folder.path(), {.max_position_embeddings = 1 << 25});
  bench.options.depths = {1 << 24};
  bench.options.batches = {512};
  const Error error = tests::error_of([&] { run_benchmark(bench.options); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
}

TEST(Bench, LeavesOutWhatIsZeroAndEndsWhereToldTo) {
  BenchModel bench;
  bench.options.prefill_tokens = 0;
  const BenchResult result =
      run_benchmark(bench.options, [](const BenchResult& so_far) { return so_far.rows.size() < 2; });
  ASSERT_EQ(result.rows.size(), 2u);
  EXPECT_EQ(result.rows[0].prefill.median, 0);
  EXPECT_GT(result.rows[0].decode.median, 0);
}

TEST(Bench, RefusesBadOptionsBeforeMeasuring) {
  const auto refused = [](auto change) {
    BenchModel bench;
    change(bench.options);
    const Error error = tests::error_of([&] {
      run_benchmark(bench.options, [](const BenchResult&) -> bool { throw std::logic_error("measured"); });
    });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.context();
  };
  EXPECT_EQ(refused([](BenchOptions& o) { o.depths = {}; }), "depths");
  EXPECT_EQ(refused([](BenchOptions& o) { o.depths = {-1}; }), "depths");
  EXPECT_EQ(refused([](BenchOptions& o) { o.depths = {240}; }), "depths");  // 240 + 20 of 256
  EXPECT_EQ(refused([](BenchOptions& o) {
              o.depths = {170};
              o.batches = {2};
              o.mixed_lengths = true;
            }),
            "depths");  // 255 + 5 of 256
  EXPECT_EQ(refused([](BenchOptions& o) { o.batches = {}; }), "batches");
  EXPECT_EQ(refused([](BenchOptions& o) { o.batches = {1, 0}; }), "batches");
  EXPECT_EQ(refused([](BenchOptions& o) { o.batches = {513}; }), "batches");
  EXPECT_EQ(refused([](BenchOptions& o) { o.kv_cache_dtypes = {}; }), "kv_cache_dtypes");
  EXPECT_EQ(refused([](BenchOptions& o) { o.kv_cache_dtypes = {"auto", "int8"}; }), "kv_cache_dtype");
  EXPECT_EQ(refused([](BenchOptions& o) { o.runs = 0; }), "runs");
  EXPECT_EQ(refused([](BenchOptions& o) { o.prefill_tokens = -1; }), "prefill_tokens");
  EXPECT_EQ(refused([](BenchOptions& o) { o.decode_tokens = -1; }), "decode_tokens");
}

}  // namespace
}  // namespace octet
