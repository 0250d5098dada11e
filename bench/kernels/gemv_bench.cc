// The decode linear layer over weights far beyond the last-level cache, plain and quantised, in bytes as they
// are stored, beside plain reads of the same memory; and over the same few rows again and again, which stay in
// the first-level cache and show what the arithmetic takes. Counters as in decode_attention_bench.cc.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "chosen_table.h"
#include "kernels/kernel_table.h"
#include "read_bandwidth.h"

namespace octet::bench {
namespace {

// The layer of a case whose arguments are threads, what the weights are, columns, tokens and whether all tasks
// take the same rows.
struct Layer {
  static constexpr std::size_t kBytes = std::size_t{192} << 20;
  static constexpr int kTaskRows = 32;  // as the model's of few tokens, and streams as there

  Layer(const benchmark::State& state, std::size_t bytes_of_a_row)
      : pool(static_cast<int>(state.range(0))),
        cols(static_cast<int>(state.range(2))),
        tokens(static_cast<int>(state.range(3))),
        cached(state.range(4) != 0),
        row_bytes(bytes_of_a_row),
        tasks(kBytes / row_bytes / kTaskRows),
        rows(static_cast<int>(tasks) * kTaskRows),
        weights(allocate(kBytes)),
        x(static_cast<std::size_t>(tokens * cols), 0.25f),
        y(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(rows)) {
    std::mt19937 random(1);
    for (std::size_t i = 0; i < kBytes; i += sizeof(std::uint32_t)) {
      // Without these bits no number, float16 scale or FP8 code is infinite or NaN.
      const std::uint32_t word = static_cast<std::uint32_t>(random()) & 0xbfbfbfbfu;
      std::memcpy(weights.data() + i, &word, sizeof(word));
    }
  }

  // Times multiply(first row, thread), which does kTaskRows rows. scale_bytes: read beside the weights.
  template <typename Multiply>
  void measure(benchmark::State& state, std::size_t scale_bytes, const std::string& label,
               Multiply&& multiply) {
    Alternation best;
    for (auto _ : state)
      state.SetIterationTime(best.step(pool, weights, [&] {
        pool.run_streams(tasks, [&](std::size_t task, int thread) {
          multiply(cached ? 0 : static_cast<int>(task) * kTaskRows, thread);
        });
      }));
    const double stored =
        static_cast<double>(rows) * static_cast<double>(row_bytes) + static_cast<double>(scale_bytes);
    const double mads = static_cast<double>(rows) * cols * tokens, rate = stored / best.work_seconds;
    state.counters["GBps"] = rate / 1e9;
    state.counters["mad"] = mads / best.work_seconds;
    if (!cached) {
      state.counters["of_read"] = rate / (static_cast<double>(kBytes) / best.read_seconds);
      state.counters["mad_per_byte"] = mads / stored;
    }
    state.SetLabel(label);
  }

  ThreadPool pool;
  int cols, tokens;
  bool cached;
  std::size_t row_bytes, tasks;
  int rows;
  HugeMemory weights;
  std::vector<float> x, y;
};

void gemv(benchmark::State& state) {
  const auto dtype = static_cast<Dtype>(state.range(1));
  const kernels::KernelTable& table = chosen_table();
  Layer layer(state, static_cast<std::size_t>(state.range(2)) * dtype_bytes(dtype));
  layer.measure(state, 0, std::string(dtype_name(dtype)) + " " + table.isa, [&](int first, int) {
    table.gemv({.weight = layer.weights.data(),
                .weight_dtype = dtype,
                .cols = layer.cols,
                .row_begin = first,
                .row_end = first + Layer::kTaskRows,
                .x = layer.x.data(),
                .x_stride = layer.cols,
                .y = layer.y.data(),
                .y_stride = layer.rows,
                .num_tokens = layer.tokens});
  });
}
BENCHMARK(gemv)
    ->ArgNames({"threads", "dtype", "cols", "tokens", "cached"})
    ->ArgsProduct({{2}, {static_cast<int>(Dtype::bfloat16)}, {576, 1536}, {1, 2, 4, 8, 16}, {0}})
    ->ArgsProduct({{1}, {static_cast<int>(Dtype::bfloat16)}, {512}, {1}, {1}})
    ->ArgsProduct({{2},
                   {static_cast<int>(Dtype::float32), static_cast<int>(Dtype::float16),
                    static_cast<int>(Dtype::fp8_e4m3), static_cast<int>(Dtype::fp8_e5m2)},
                   {576},
                   {1},
                   {0}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

const char* format_name(WeightFormat format) {
  static constexpr const char* kNames[] = {"q4_0",         "q4_1",         "q5_0",        "q5_1",
                                           "q8_0",         "q4_k",         "q5_k",        "q6_k",
                                           "uint4_groups", "uint8_groups", "int8_groups", "fp8_groups"};
  return kNames[static_cast<std::size_t>(format)];
}

// Formats with groups have a scale, and the unsigned an offset, for 128 columns of a row.
void gemv_quantized(benchmark::State& state) {
  constexpr int kGroupCols = 128;
  const auto format = static_cast<WeightFormat>(state.range(1));
  const kernels::KernelTable& table = chosen_table();
  Layer layer(state, static_cast<std::size_t>(weight_row_bytes(format, static_cast<int>(state.range(2)))));
  const std::size_t groups =
      static_cast<std::size_t>(layer.rows) * static_cast<std::size_t>(layer.cols / kGroupCols);
  const bool has_groups = !is_block_format(format);
  const bool has_offsets = format == WeightFormat::uint4_groups || format == WeightFormat::uint8_groups;
  const std::vector<float> scales(has_groups ? groups : 0, 0.01f), offsets(has_offsets ? groups : 0, -0.08f);
  const kernels::QuantizedMatrix matrix{layer.weights.data(),
                                        format,
                                        layer.cols,
                                        has_groups ? scales.data() : nullptr,
                                        has_offsets ? offsets.data() : nullptr,
                                        1,
                                        kGroupCols};
  std::vector<std::vector<float>> scratch(
      static_cast<std::size_t>(layer.pool.num_threads()),
      std::vector<float>(static_cast<std::size_t>(kernels::kQuantizedRows * layer.cols)));
  const std::size_t scale_bytes = sizeof(float) * (scales.size() + offsets.size());
  layer.measure(state, scale_bytes, std::string(format_name(format)) + " " + table.isa,
                [&](int first, int thread) {
                  table.gemv_quantized({.matrix = matrix,
                                        .row_begin = first,
                                        .row_end = first + Layer::kTaskRows,
                                        .x = layer.x.data(),
                                        .x_stride = layer.cols,
                                        .y = layer.y.data(),
                                        .y_stride = layer.rows,
                                        .num_tokens = layer.tokens,
                                        .scratch = scratch[static_cast<std::size_t>(thread)].data()});
                });
}
const std::vector<std::int64_t> kFormats =
    benchmark::CreateDenseRange(0, static_cast<int>(WeightFormat::fp8_groups), 1);
BENCHMARK(gemv_quantized)
    ->ArgNames({"threads", "format", "cols", "tokens", "cached"})
    ->ArgsProduct({{2}, kFormats, {1536}, {1, 4, 8}, {0}})
    ->ArgsProduct({{1}, kFormats, {512}, {1}, {1}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

void read_memory(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const HugeMemory buffer = allocate(std::size_t{256} << 20);
  // Written first: pages never written are all one page of zeros, which stays in the cache.
  pool.run(256, [&](std::size_t i, int) {
    for (std::size_t k = 0; k < std::size_t{1} << 20; ++k) buffer.data()[(i << 20) + k] = std::byte{1};
  });
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    const double seconds = read_once(pool, buffer);
    best = std::min(best, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["GBps"] = static_cast<double>(buffer.size()) / best / 1e9;
}
BENCHMARK(read_memory)->ArgName("threads")->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
