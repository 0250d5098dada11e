// The linear layer of many tokens beside the most multiply-adds that this machine can do.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "chosen_table.h"
#include "kernels/kernel_table.h"
#include "peak_fma.h"
#include "read_bandwidth.h"

namespace octet::bench {
namespace {

using benchmark::Counter;

void rate(benchmark::State& state, double mads_per_iteration) {
  state.counters["mad"] = Counter(mads_per_iteration, Counter::kIsIterationInvariantRate);
}

void peak_fma(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto threads = static_cast<std::size_t>(pool.num_threads());
  std::vector<double> mads(threads);
  for (auto _ : state) pool.run(threads, [&](std::size_t i, int) { mads[i] = spin_fma(200000); });
  rate(state, mads[0] * static_cast<double>(threads));
}
BENCHMARK(peak_fma)->ArgNames({"threads"})->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

void peak_bf16(benchmark::State& state) {
  if (!__builtin_cpu_supports("avx512bf16")) {
    state.SkipWithError("no AVX-512-BF16 here");
    return;
  }
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto threads = static_cast<std::size_t>(pool.num_threads());
  std::vector<double> mads(threads);
  for (auto _ : state) pool.run(threads, [&](std::size_t i, int) { mads[i] = spin_bf16(200000); });
  rate(state, mads[0] * static_cast<double>(threads));
}
BENCHMARK(peak_bf16)->ArgNames({"threads"})->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

// A linear layer of many tokens as model/multiply.cc cuts it into tasks: run(first row, last row, first token,
// tokens).
class LinearTasks {
 public:
  static constexpr int kRows = 3072, kTaskRows = 192, kRowTasks = kRows / kTaskRows;

  LinearTasks(int tokens, int depth) : tokens_(tokens) {
    const int most = kernels::gemv_block_tokens(depth);
    blocks_ = (tokens + most - 1) / most;
    block_ = (tokens + blocks_ - 1) / blocks_;
  }

  template <class Run>
  void run(ThreadPool& pool, const Run& run) const {
    pool.run(static_cast<std::size_t>(blocks_ * kRowTasks), [&](std::size_t task, int) {
      const int row = static_cast<int>(task) % kRowTasks * kTaskRows;
      const int first = static_cast<int>(task) / kRowTasks * block_;
      run(row, row + kTaskRows, first, std::min(block_, tokens_ - first));
    });
  }

 private:
  int tokens_, blocks_, block_;
};

// Args: threads, tokens, depth (columns), and whether activations are bfloat16 too.
void linear_layer(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const int tokens = static_cast<int>(state.range(1)), depth = static_cast<int>(state.range(2));
  const bool bf16 = state.range(3) != 0;
  const kernels::KernelTable& table = chosen_table();
  if (bf16 && table.gemv_bf16 == nullptr) {
    state.SkipWithError("no bfloat16 products here");
    return;
  }
  constexpr int kRows = LinearTasks::kRows;
  const std::vector<std::uint16_t> weight(static_cast<std::size_t>(kRows) * static_cast<std::size_t>(depth),
                                          0x3f81);
  // Aligned as the model's workspace is.
  const HugeMemory x =
      allocate(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(depth) * sizeof(float));
  std::vector<float> y(static_cast<std::size_t>(tokens) * kRows);
  const LinearTasks tasks(tokens, depth);
  for (auto _ : state)
    tasks.run(pool, [&](int row_begin, int row_end, int first, int count) {
      const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(first) * depth;
      float* out = y.data() + static_cast<std::ptrdiff_t>(first) * kRows;
      if (bf16)
        table.gemv_bf16({weight.data(), depth, row_begin, row_end,
                         reinterpret_cast<const std::uint16_t*>(x.data()) + offset, depth, out, kRows, count});
      else
        table.gemv({weight.data(), Dtype::bfloat16, depth, row_begin, row_end,
                    reinterpret_cast<const float*>(x.data()) + offset, depth, out, kRows, count});
    });
  rate(state, static_cast<double>(tokens) * kRows * depth);
  state.counters["mad_per_byte"] = tokens / 2.0;  // of weights
  state.SetLabel(std::string(table.isa) + (bf16 ? " bf16 activations" : ""));
}
BENCHMARK(linear_layer)
    ->ArgNames({"threads", "tokens", "depth", "bf16"})
    ->ArgsProduct({{1, 2}, {12, 16, 32, 64, 128, 512}, {576, 1536, 4096}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
