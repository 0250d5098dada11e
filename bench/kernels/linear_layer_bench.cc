// The linear layer of many tokens beside the most multiply-adds that this machine can do.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"
#include "peak_fma.h"
#include "read_bandwidth.h"

namespace octet::bench {
namespace {

using benchmark::Counter;

void rate(benchmark::State& state, double flop_per_iteration) {
  state.counters["flop"] = Counter(flop_per_iteration, Counter::kIsIterationInvariantRate);
}

void peak_fma(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto threads = static_cast<std::size_t>(pool.num_threads());
  std::vector<double> flop(threads);
  for (auto _ : state) pool.run(threads, [&](std::size_t i, int) { flop[i] = spin_fma(200000); });
  rate(state, flop[0] * static_cast<double>(threads));
}
BENCHMARK(peak_fma)->ArgNames({"threads"})->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

// The linear layer of prefill, as model/multiply.cc cuts it into tasks. Args: threads, tokens, depth.
void linear_layer(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const int tokens = static_cast<int>(state.range(1)), depth = static_cast<int>(state.range(2));
  constexpr int kRows = 3072;
  const kernels::KernelTable& table = *kernels::find_table("");
  const std::vector<std::uint16_t> weight(static_cast<std::size_t>(kRows) * static_cast<std::size_t>(depth),
                                          0x3f81);
  // Aligned as the model's workspace is.
  const HugeBuffer x(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(depth) * sizeof(float));
  std::vector<float> y(static_cast<std::size_t>(tokens) * kRows);
  constexpr int kTaskRows = 192, kRowTasks = kRows / kTaskRows;
  const int most = kernels::gemv_block_tokens(depth), blocks = (tokens + most - 1) / most;
  const int block = (tokens + blocks - 1) / blocks;
  for (auto _ : state)
    pool.run(static_cast<std::size_t>(blocks * kRowTasks), [&](std::size_t task, int) {
      const int row = static_cast<int>(task) % kRowTasks * kTaskRows,
                first = static_cast<int>(task) / kRowTasks * block;
      table.gemv({weight.data(), Dtype::bfloat16, depth, row, row + kTaskRows,
                  reinterpret_cast<const float*>(x.data()) + static_cast<std::ptrdiff_t>(first) * depth, depth,
                  y.data() + static_cast<std::ptrdiff_t>(first) * kRows, kRows,
                  std::min(block, tokens - first)});
    });
  rate(state, 2.0 * tokens * kRows * depth);
  state.SetLabel(table.isa);
}
BENCHMARK(linear_layer)
    ->ArgNames({"threads", "tokens", "depth"})
    ->ArgsProduct({{1, 2}, {12, 16, 32, 64, 128, 512}, {576, 1536, 4096}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
