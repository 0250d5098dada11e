// The decode linear layer over weights far beyond the last-level cache, beside plain reads of the same
// memory. Counters as in decode_attention_bench.cc.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "chosen_table.h"
#include "kernels/kernel_table.h"
#include "read_bandwidth.h"

namespace octet::bench {
namespace {

void gemv(benchmark::State& state) {
  constexpr std::size_t kBytes = std::size_t{192} << 20;
  constexpr int kTaskRows = 64;
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto dtype = static_cast<Dtype>(state.range(1));
  const int cols = static_cast<int>(state.range(2)), tokens = static_cast<int>(state.range(3));
  const kernels::KernelTable& table = chosen_table();
  const HugeMemory weights = allocate(kBytes);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < kBytes; ++i)
    weights.data()[i] =
        static_cast<std::byte>(static_cast<unsigned>(random()) & 0xbfu);  // finite in every format
  const auto row_bytes = static_cast<std::size_t>(cols) * dtype_bytes(dtype);
  const int tasks = static_cast<int>(kBytes / row_bytes) / kTaskRows, rows = tasks * kTaskRows;
  const std::vector<float> x(static_cast<std::size_t>(tokens * cols), 0.25f);
  std::vector<float> y(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(rows));
  Alternation best;
  for (auto _ : state)
    state.SetIterationTime(best.step(pool, weights, [&] {
      pool.run(static_cast<std::size_t>(tasks), [&](std::size_t task, int) {
        const int first = static_cast<int>(task) * kTaskRows;
        table.gemv({.weight = weights.data(),
                    .weight_dtype = dtype,
                    .cols = cols,
                    .row_begin = first,
                    .row_end = first + kTaskRows,
                    .x = x.data(),
                    .x_stride = cols,
                    .y = y.data(),
                    .y_stride = rows,
                    .num_tokens = tokens});
      });
    }));
  const double rate = static_cast<double>(rows) * static_cast<double>(row_bytes) / best.work_seconds;
  state.counters["GBps"] = rate / 1e9;
  state.counters["of_read"] = rate / (static_cast<double>(kBytes) / best.read_seconds);
  state.counters["mad"] = static_cast<double>(rows) * cols * tokens / best.work_seconds;
  state.counters["mad_per_byte"] = tokens / static_cast<double>(dtype_bytes(dtype));
  state.SetLabel(std::string(dtype_name(dtype)) + " " + table.isa);
}
BENCHMARK(gemv)
    ->ArgNames({"threads", "dtype", "cols", "tokens"})
    ->ArgsProduct({{2}, {static_cast<int>(Dtype::bfloat16)}, {576, 1536}, {1, 2, 4, 8, 16}})
    ->ArgsProduct({{2},
                   {static_cast<int>(Dtype::float32), static_cast<int>(Dtype::float16),
                    static_cast<int>(Dtype::fp8_e4m3), static_cast<int>(Dtype::fp8_e5m2)},
                   {576},
                   {1}})
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
