// The linear layer of many tokens beside the most multiply-adds that this machine can do.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
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
// tokens, thread), `most` tokens and task_rows rows at once.
class LinearTasks {
 public:
  static constexpr int kRows = 3072;

  LinearTasks(int tokens, int most, int task_rows) : tokens_(tokens), task_rows_(task_rows) {
    blocks_ = (tokens + most - 1) / most;
    block_ = (tokens + blocks_ - 1) / blocks_;
  }

  template <class Run>
  void run(ThreadPool& pool, const Run& run) const {
    const int row_tasks = kRows / task_rows_;
    pool.run(static_cast<std::size_t>(blocks_ * row_tasks), [&](std::size_t task, int thread) {
      const int row = static_cast<int>(task) % row_tasks * task_rows_;
      const int first = static_cast<int>(task) / row_tasks * block_;
      run(row, row + task_rows_, first, std::min(block_, tokens_ - first), thread);
    });
  }
  // Of the token's block: its first token, and how many it has.
  std::pair<int, int> block_of(int token) const {
    const int first = token / block_ * block_;
    return {first, std::min(block_, tokens_ - first)};
  }

 private:
  int tokens_, task_rows_, blocks_, block_;
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
  const bool packs = !bf16 && table.gemm != nullptr && tokens >= kernels::kGemmLeastTokens;
  const int most = packs ? kernels::kGemmMostTokens : kernels::gemv_block_tokens(depth);
  const LinearTasks tasks(tokens, most, packs ? 64 : 192);
  const auto thread_floats = packs ? (table.gemm_scratch_floats(most, depth) + 15) / 16 * 16 : 0;
  const HugeMemory packed = allocate(packs ? kernels::packed_floats(tokens, depth) * sizeof(float) : 0),
                   scratch = allocate(thread_floats * sizeof(float) * static_cast<std::size_t>(state.range(0)));
  const auto floats = [](const HugeMemory& memory) { return reinterpret_cast<float*>(memory.data()); };
  for (auto _ : state) {
    if (packs)
      pool.run(static_cast<std::size_t>(tokens), [&](std::size_t token, int) {
        const auto [first, count] = tasks.block_of(static_cast<int>(token));
        table.pack_activations({floats(x) + token * static_cast<std::size_t>(depth), depth,
                                floats(packed) + kernels::packed_floats(first, depth),
                                static_cast<int>(token) - first, count});
      });
    tasks.run(pool, [&](int row_begin, int row_end, int first, int count, int thread) {
      const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(first) * depth;
      float* out = y.data() + static_cast<std::ptrdiff_t>(first) * kRows;
      if (packs)
        table.gemm({weight.data(), Dtype::bfloat16, depth, row_begin, row_end,
                    floats(packed) + kernels::packed_floats(first, depth), out, kRows, count,
                    floats(scratch) + static_cast<std::size_t>(thread) * thread_floats});
      else if (bf16)
        table.gemv_bf16({weight.data(), depth, row_begin, row_end,
                         reinterpret_cast<const std::uint16_t*>(x.data()) + offset, depth, out, kRows, count});
      else
        table.gemv({weight.data(), Dtype::bfloat16, depth, row_begin, row_end, floats(x) + offset, depth, out,
                    kRows, count});
    });
  }
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
