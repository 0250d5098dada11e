// The decode linear layer over quantised weights far beyond the last-level cache, in bytes as they are stored,
// beside plain reads of the same memory. Counters as in decode_attention_bench.cc.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "chosen_table.h"
#include "kernels/kernel_table.h"
#include "read_bandwidth.h"

namespace octet::bench {
namespace {

const char* format_name(WeightFormat format) {
  static constexpr const char* kNames[] = {"q4_0",         "q4_1",         "q5_0",        "q5_1",
                                           "q8_0",         "q4_k",         "q5_k",        "q6_k",
                                           "uint4_groups", "uint8_groups", "int8_groups", "fp8_groups"};
  return kNames[static_cast<std::size_t>(format)];
}

// Args: threads, format, columns, tokens. Formats with groups have a scale, and the unsigned an offset, for 128
// columns of a row.
void gemv_quantized(benchmark::State& state) {
  constexpr std::size_t kBytes = std::size_t{192} << 20;
  constexpr int kTaskRows = 64, kGroupCols = 128;
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto format = static_cast<WeightFormat>(state.range(1));
  const int cols = static_cast<int>(state.range(2)), tokens = static_cast<int>(state.range(3));
  const kernels::KernelTable& table = chosen_table();
  const HugeMemory weights = allocate(kBytes);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < kBytes; i += sizeof(std::uint32_t)) {
    // Without these bits no float16 scale and no FP8 code is infinite or NaN.
    const std::uint32_t word = static_cast<std::uint32_t>(random()) & 0xbfbfbfbfu;
    std::memcpy(weights.data() + i, &word, sizeof(word));
  }
  const auto row_bytes = static_cast<std::size_t>(weight_row_bytes(format, cols));
  const int tasks = static_cast<int>(kBytes / row_bytes) / kTaskRows, rows = tasks * kTaskRows;
  const std::size_t groups = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols / kGroupCols);
  const bool has_groups = !is_block_format(format);
  const bool has_offsets = format == WeightFormat::uint4_groups || format == WeightFormat::uint8_groups;
  const std::vector<float> scales(has_groups ? groups : 0, 0.01f), offsets(has_offsets ? groups : 0, -0.08f);
  const kernels::QuantizedMatrix matrix{weights.data(),
                                        format,
                                        cols,
                                        has_groups ? scales.data() : nullptr,
                                        has_offsets ? offsets.data() : nullptr,
                                        1,
                                        kGroupCols};
  const std::vector<float> x(static_cast<std::size_t>(tokens * cols), 0.25f);
  std::vector<float> y(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(rows));
  std::vector<std::vector<float>> scratch(
      static_cast<std::size_t>(pool.num_threads()),
      std::vector<float>(static_cast<std::size_t>(kernels::kQuantizedRows * cols)));
  Alternation best;
  for (auto _ : state)
    state.SetIterationTime(best.step(pool, weights, [&] {
      pool.run(static_cast<std::size_t>(tasks), [&](std::size_t task, int thread) {
        const int first = static_cast<int>(task) * kTaskRows;
        table.gemv_quantized({.matrix = matrix,
                              .row_begin = first,
                              .row_end = first + kTaskRows,
                              .x = x.data(),
                              .x_stride = cols,
                              .y = y.data(),
                              .y_stride = rows,
                              .num_tokens = tokens,
                              .scratch = scratch[static_cast<std::size_t>(thread)].data()});
      });
    }));
  const double stored = static_cast<double>(rows) * static_cast<double>(row_bytes) +
                        static_cast<double>(sizeof(float) * (scales.size() + offsets.size()));
  const double rate = stored / best.work_seconds;
  state.counters["GBps"] = rate / 1e9;
  state.counters["of_read"] = rate / (static_cast<double>(kBytes) / best.read_seconds);
  state.counters["mad"] = static_cast<double>(rows) * cols * tokens / best.work_seconds;
  state.counters["mad_per_byte"] = static_cast<double>(rows) * cols * tokens / stored;
  state.SetLabel(std::string(format_name(format)) + " " + table.isa);
}
BENCHMARK(gemv_quantized)
    ->ArgNames({"threads", "format", "cols", "tokens"})
    ->ArgsProduct(
        {{2}, benchmark::CreateDenseRange(0, static_cast<int>(WeightFormat::fp8_groups), 1), {1536}, {1, 4, 8}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
