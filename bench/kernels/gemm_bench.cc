// The prefill linear layer as the model runs it: bfloat16 weights, a panel at a time converted to float32 and
// multiplied by all tokens, panels shared out among the threads of a pool.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/dispatch.h"
#include "kernels/gemm.h"
#include "kernels/kernel_table.h"
#include "peak_fma.h"

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

// Args: threads, tokens, panel rows, depth, tokens in one call (fewer than all splits the tokens as well).
void linear_layer(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const int tokens = static_cast<int>(state.range(1)), panel_rows = static_cast<int>(state.range(2));
  const int depth = static_cast<int>(state.range(3)), call_tokens = static_cast<int>(state.range(4));
  constexpr int kRows = 3072;
  const kernels::KernelTable& table = *kernels::find_table("");
  const std::vector<std::uint16_t> weight(static_cast<std::size_t>(kRows) * static_cast<std::size_t>(depth),
                                          0x3f81);
  const std::vector<float> x(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(depth), 0.25f);
  std::vector<float> y(static_cast<std::size_t>(tokens) * kRows);
  std::vector<std::vector<float>> scratch(static_cast<std::size_t>(pool.num_threads()));
  for (auto& panel : scratch)
    panel.resize(static_cast<std::size_t>(panel_rows) * static_cast<std::size_t>(depth));
  const int panels = (kRows + panel_rows - 1) / panel_rows, calls = (tokens + call_tokens - 1) / call_tokens;
  for (auto _ : state)
    pool.run(static_cast<std::size_t>(panels * calls), [&](std::size_t task, int thread) {
      const int row = static_cast<int>(task) / calls * panel_rows;
      const int token = static_cast<int>(task) % calls * call_tokens;
      const int rows = std::min(panel_rows, kRows - row);
      float* panel = scratch[static_cast<std::size_t>(thread)].data();
      table.to_float(panel, weight.data() + static_cast<std::ptrdiff_t>(row) * depth, Dtype::bfloat16,
                     static_cast<std::int64_t>(rows) * depth);
      kernels::sgemm_nt(std::min(call_tokens, tokens - token), rows, depth,
                        x.data() + static_cast<std::ptrdiff_t>(token) * depth, depth, panel, depth,
                        y.data() + static_cast<std::ptrdiff_t>(token) * kRows + row, kRows);
    });
  rate(state, 2.0 * tokens * kRows * depth);
}
BENCHMARK(linear_layer)
    ->ArgNames({"threads", "tokens", "panel", "depth", "call"})
    ->ArgsProduct({{1, 2}, {512}, {32, 64, 96, 128, 192, 256, 384, 768}, {576, 1536}, {512}})
    ->ArgsProduct({{2}, {512}, {128, 384, 768}, {576, 1536}, {256}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
