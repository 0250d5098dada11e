// Prefill attention at SmolLM2's shapes (9 heads, 3 KV heads, head_dim 64): 512 queries behind `depth` cached
// positions, cut into tasks of `tile` queries as the model does.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "chosen_table.h"
#include "kernels/kernel_table.h"
#include "paged_cache.h"

namespace octet::bench {
namespace {

void prefill_attention(benchmark::State& state) {
  constexpr int kGroup = 3, kKvHeads = 3, kHeadDim = 64, kQueries = 512, kWidth = kGroup * kKvHeads * kHeadDim;
  ThreadPool pool(static_cast<int>(state.range(0)));
  const auto dtype = static_cast<Dtype>(state.range(1));
  const int depth = static_cast<int>(state.range(2)), tile = static_cast<int>(state.range(3));
  const bool bf16 = state.range(4) != 0;
  const kernels::KernelTable& table = chosen_table();
  if (bf16 && table.prefill_attention_bf16 == nullptr) {
    state.SkipWithError("no bfloat16 products here");
    return;
  }
  const auto attend = bf16 ? table.prefill_attention_bf16 : table.prefill_attention;
  std::mt19937 random(1);
  kernels::PagedCache cache(
      {.k_dtype = dtype, .v_dtype = dtype, .num_kv_heads = kKvHeads, .head_dim = kHeadDim, .block_size = 16}, 0,
      depth + kQueries, random);
  const kernels::KvView kv = cache.view();
  const std::vector<float> q(static_cast<std::size_t>(kQueries) * kWidth, 0.1f);
  std::vector<float> out(q.size());
  using Scratch = std::unique_ptr<float, decltype(&std::free)>;
  std::vector<Scratch> scratch;
  const std::size_t bytes =
      (table.prefill_scratch_floats(tile, kGroup, kHeadDim) * sizeof(float) + 127) / 64 * 64;
  for (int t = 0; t < pool.num_threads(); ++t)
    scratch.emplace_back(static_cast<float*>(std::aligned_alloc(64, bytes)), &std::free);
  for (auto _ : state)
    pool.run(static_cast<std::size_t>(kQueries / tile * kKvHeads), [&](std::size_t task, int thread) {
      const int head = static_cast<int>(task) % kKvHeads, first = static_cast<int>(task) / kKvHeads * tile;
      const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(first) * kWidth + head * kGroup * kHeadDim;
      attend({.q = q.data() + offset,
              .q_stride = kWidth,
              .num_queries = tile,
              .group = kGroup,
              .first_position = depth + first,
              .window = 0,
              .softmax_scale = 0.125f,
              .kv = &kv,
              .kv_head = head,
              .block_table = cache.block_table(),
              .out = out.data() + offset,
              .out_stride = kWidth,
              .scratch = scratch[static_cast<std::size_t>(thread)].get()});
    });
  // Each query meets depth + 1 … depth + 512 positions, a multiply-add a dim and head with key and value.
  const double positions = kQueries * (depth + (kQueries + 1) / 2.0);
  const double mads = 2.0 * positions * kGroup * kKvHeads * kHeadDim;
  const double cache_bytes =
      2.0 * (depth + kQueries) * kKvHeads * kHeadDim * static_cast<double>(dtype_bytes(dtype));
  state.counters["mad"] = benchmark::Counter(mads, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["mad_per_byte"] = mads / cache_bytes;
  state.SetLabel(std::string(dtype_name(dtype)) + " " + table.isa + (bf16 ? " bf16 activations" : ""));
}
BENCHMARK(prefill_attention)
    ->ArgNames({"threads", "dtype", "depth", "tile", "bf16"})
    ->ArgsProduct({{1, 2},
                   {static_cast<int>(Dtype::bfloat16), static_cast<int>(Dtype::fp8_e4m3),
                    static_cast<int>(Dtype::fp8_e5m2)},
                   {0, 2048, 7000},
                   {32, 64},
                   {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
