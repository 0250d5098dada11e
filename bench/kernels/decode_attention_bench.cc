// Decode attention over a cache far beyond the last-level cache, beside plain reads of the same memory.
// Counters, of the best run: GBps is the cache bytes read a second, of_read its share of the best plain read,
// mad the multiply-adds a second and mad_per_byte those that each cached byte is for (see scripts/roofline).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "chosen_table.h"
#include "kernels/kernel_table.h"
#include "read_bandwidth.h"

namespace octet::bench {
namespace {

struct Shape {
  int threads, block_size, group, head_dim;
  Dtype dtype;
  bool bf16 = false;  // queries and softmax weights rounded to bfloat16
};

// A pool filled once with finite codes, read as sequences of kContext positions whose blocks lie scattered.
class DecodeCase {
 public:
  static constexpr std::size_t kPoolBytes = std::size_t{192} << 20;
  static constexpr int kContext = 3584, kSplit = 896, kKvHeads = 3;

  explicit DecodeCase(const Shape& shape) : shape_(shape), pool_(filled_pool()), threads_(shape.threads) {
    std::mt19937 random(1);
    scales_.assign(kKvHeads, 1.0f);
    const auto block_bytes = static_cast<std::size_t>(
        kKvHeads * kernels::head_block_bytes(shape.dtype, shape.block_size, shape.head_dim));
    const std::size_t blocks = kPoolBytes / 2 / block_bytes;
    blocks_a_sequence_ = kContext / shape.block_size;
    sequences_ = static_cast<int>(blocks) / blocks_a_sequence_;
    block_table_.resize(static_cast<std::size_t>(sequences_ * blocks_a_sequence_));
    std::iota(block_table_.begin(), block_table_.end(), 0);
    std::shuffle(block_table_.begin(), block_table_.end(), random);
    q_.resize(static_cast<std::size_t>(shape.group * shape.head_dim));
    std::normal_distribution<float> normal;
    for (float& x : q_) x = normal(random);
    bytes_ = 2.0 * sequences_ * blocks_a_sequence_ * static_cast<double>(block_bytes);
    view_ = {.k = pool_.data(),
             .v = pool_.data() + kPoolBytes / 2,
             .k_scale = scales_.data(),
             .v_scale = scales_.data(),
             .k_dtype = shape.dtype,
             .v_dtype = shape.dtype,
             .num_kv_heads = kKvHeads,
             .head_dim = shape.head_dim,
             .block_size = shape.block_size,
             .k_tile = kernels::k_tile_slots(shape.block_size)};
  }

  void attend_all(decltype(kernels::KernelTable::decode_attention) attention) {
    constexpr int splits = kContext / kSplit;
    threads_.run(static_cast<std::size_t>(sequences_ * kKvHeads * splits), [&](std::size_t task, int) {
      const int split = static_cast<int>(task) % splits;
      const int head = static_cast<int>(task) / splits % kKvHeads;
      const int sequence = static_cast<int>(task) / splits / kKvHeads;
      float out[kernels::kMaxGroup * 256], max[kernels::kMaxGroup], sum[kernels::kMaxGroup];
      attention({.q = q_.data(),
                 .group = shape_.group,
                 .softmax_scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim)),
                 .kv = &view_,
                 .kv_head = head,
                 .block_table = block_table_.data() + sequence * blocks_a_sequence_,
                 .begin = split * kSplit,
                 .end = (split + 1) * kSplit,
                 .out = out,
                 .max = max,
                 .sum = sum});
      benchmark::DoNotOptimize(out);
    });
  }

  void run(benchmark::State& state) {
    const kernels::KernelTable& table = chosen_table();
    const auto attention = shape_.bf16 ? table.decode_attention_bf16 : table.decode_attention;
    if (attention == nullptr) return state.SkipWithError("this table has no kernel in bfloat16");
    Alternation best;
    for (auto _ : state) state.SetIterationTime(best.step(threads_, pool_, [&] { attend_all(attention); }));
    const double rate = bytes_ / best.work_seconds;
    // Each number of a key or value meets every head of the group once.
    const double mads = 2.0 * sequences_ * kContext * kKvHeads * shape_.group * shape_.head_dim;
    state.counters["mad"] = mads / best.work_seconds;
    state.counters["mad_per_byte"] = mads / bytes_;
    state.counters["GBps"] = rate / 1e9;
    state.counters["of_read"] = rate / (static_cast<double>(kPoolBytes) / best.read_seconds);
    state.SetLabel(std::string(dtype_name(shape_.dtype)) + " " + table.isa +
                   (shape_.bf16 ? " bf16 activations" : ""));
  }

 private:
  // The same for all cases: every byte of 0x00…0x3f, with either sign, is finite and small in every format, in
  // every byte of an element and of a scale.
  static const HugeMemory& filled_pool() {
    static const HugeMemory pool = allocate(kPoolBytes);
    static const bool filled = [] {
      std::mt19937_64 random(1);
      for (std::size_t i = 0; i < kPoolBytes; i += 8) {
        const std::uint64_t word = random() & 0xbfbfbfbfbfbfbfbfu;
        __builtin_memcpy(pool.data() + i, &word, sizeof word);
      }
      return true;
    }();
    benchmark::DoNotOptimize(filled);
    return pool;
  }

  Shape shape_;
  const HugeMemory& pool_;
  ThreadPool threads_;
  std::vector<float> scales_, q_;
  std::vector<std::int32_t> block_table_;
  int blocks_a_sequence_ = 0, sequences_ = 0;
  double bytes_ = 0.0;
  kernels::KvView view_;
};

void decode_attention(benchmark::State& state) {
  DecodeCase({.threads = static_cast<int>(state.range(0)),
              .block_size = static_cast<int>(state.range(2)),
              .group = static_cast<int>(state.range(3)),
              .head_dim = static_cast<int>(state.range(4)),
              .dtype = static_cast<Dtype>(state.range(1)),
              .bf16 = state.range(5) != 0})
      .run(state);
}

constexpr int kBf16 = static_cast<int>(Dtype::bfloat16), kE4m3 = static_cast<int>(Dtype::fp8_e4m3),
              kInt8 = static_cast<int>(Dtype::int8_per_token_head);

// SmolLM2's shape with every dtype; then blocks, groups and head dims one after the other.
BENCHMARK(decode_attention)
    ->ArgNames({"threads", "dtype", "block", "group", "dim", "bf16"})
    ->ArgsProduct({{2},
                   benchmark::CreateDenseRange(0, static_cast<int>(Dtype::fp8_per_token_head), 1),
                   {64},
                   {3},
                   {64},
                   {0, 1}})
    ->ArgsProduct({{1}, {kBf16, kE4m3}, {64}, {3}, {64}, {0}})
    ->ArgsProduct({{2}, {kBf16, kE4m3, kInt8}, {8, 16, 32, 128}, {3}, {64}, {0}})
    ->ArgsProduct({{2}, {kBf16, kE4m3}, {64}, {1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {64}, {0}})
    ->ArgsProduct({{2}, {kBf16, kE4m3, kInt8}, {64}, {4}, {64, 80, 96, 128, 256}, {0}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
