// Decode attention over a cache far beyond the last-level cache, beside plain reads of the same memory: all KV
// heads of a piece in one call, as the engine has it where there are pieces enough for its threads. Blocks lie
// scattered, or in order, as a fresh pool hands them to one long sequence; or all are the same block, which
// stays in a core's own caches and shows what the arithmetic takes. Counters, of the best run: GBps is the
// cache bytes read a second, mad the multiply-adds a second; but for the same block, of_read is the former's
// share of the best plain read, of_block_read that of the best plain read of the same blocks in the same order,
// and mad_per_byte the multiply-adds that each cached byte is for (see scripts/roofline).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
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

enum class Order : std::uint8_t { scattered, in_order, same_block };

struct Shape {
  int threads, block_size, group, head_dim;
  Dtype dtype;
  bool bf16 = false;  // queries and softmax weights rounded to bfloat16
  Order order = Order::scattered;
  int kv_heads = 3;
};

// A pool filled once with finite codes, read as sequences of kContext positions.
class DecodeCase {
 public:
  static constexpr std::size_t kPoolBytes = std::size_t{192} << 20;
  static constexpr int kContext = 3584, kSplit = 512;

  explicit DecodeCase(const Shape& shape) : shape_(shape), pool_(filled_pool()), threads_(shape.threads) {
    std::mt19937 random(1);
    scales_.assign(static_cast<std::size_t>(shape.kv_heads), 1.0f);
    const auto block_bytes = static_cast<std::size_t>(
        shape.kv_heads * kernels::head_block_bytes(shape.dtype, shape.block_size, shape.head_dim));
    const std::size_t blocks = kPoolBytes / 2 / block_bytes;
    blocks_a_sequence_ = kContext / shape.block_size;
    sequences_ = static_cast<int>(blocks) / blocks_a_sequence_;
    block_table_.resize(static_cast<std::size_t>(sequences_ * blocks_a_sequence_));
    std::iota(block_table_.begin(), block_table_.end(), 0);
    if (shape.order == Order::scattered) std::shuffle(block_table_.begin(), block_table_.end(), random);
    if (shape.order == Order::same_block) std::fill(block_table_.begin(), block_table_.end(), 0);
    q_.resize(static_cast<std::size_t>(shape.kv_heads * shape.group * shape.head_dim));
    std::normal_distribution<float> normal;
    for (float& x : q_) x = normal(random);
    bytes_ = 2.0 * sequences_ * blocks_a_sequence_ * static_cast<double>(block_bytes);
    view_ = {.k = pool_.data(),
             .v = pool_.data() + kPoolBytes / 2,
             .k_scale = scales_.data(),
             .v_scale = scales_.data(),
             .k_dtype = shape.dtype,
             .v_dtype = shape.dtype,
             .num_kv_heads = shape.kv_heads,
             .head_dim = shape.head_dim,
             .block_size = shape.block_size,
             .k_tile = kernels::k_tile_slots(shape.block_size)};
  }

  void attend_all(decltype(kernels::KernelTable::decode_attention) attention) {
    constexpr int splits = kContext / kSplit;
    threads_.run(static_cast<std::size_t>(sequences_ * splits), [&](std::size_t task, int) {
      const int split = static_cast<int>(task) % splits, sequence = static_cast<int>(task) / splits;
      float out[kernels::kMaxGroup * 256], max[kernels::kMaxGroup], sum[kernels::kMaxGroup];
      attention({.q = q_.data(),
                 .group = shape_.group,
                 .softmax_scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim)),
                 .kv = &view_,
                 .kv_head = 0,
                 .block_table = block_table_.data() + sequence * blocks_a_sequence_,
                 .begin = split * kSplit,
                 .end = (split + 1) * kSplit,
                 .out = out,
                 .max = max,
                 .sum = sum,
                 .num_kv_heads = shape_.kv_heads});
      benchmark::DoNotOptimize(out);
    });
  }

  // Seconds that plain reads of what attend_all reads take, block by block.
  double read_blocks() {
    static std::atomic<std::uint64_t> sink;
    const auto bytes = static_cast<std::size_t>(bytes_ / 2.0) / block_table_.size();
    const auto blocks = static_cast<std::size_t>(kSplit / shape_.block_size);
    const auto begin = std::chrono::steady_clock::now();
    threads_.run(block_table_.size() / blocks, [&](std::size_t task, int) {
      for (std::size_t i = task * blocks; i < (task + 1) * blocks; ++i) {
        const std::size_t at = static_cast<std::size_t>(block_table_[i]) * bytes;
        sink += sum_words(view_.k + at, bytes) + sum_words(view_.v + at, bytes);
      }
    });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  void run(benchmark::State& state) {
    const kernels::KernelTable& table = chosen_table();
    const auto attention = shape_.bf16 ? table.decode_attention_bf16 : table.decode_attention;
    if (attention == nullptr) return state.SkipWithError("this table has no kernel in bfloat16");
    Alternation best;
    double block_seconds = std::numeric_limits<double>::infinity();
    for (auto _ : state) {
      block_seconds = std::min(block_seconds, read_blocks());
      state.SetIterationTime(best.step(threads_, pool_, [&] { attend_all(attention); }));
    }
    const double rate = bytes_ / best.work_seconds;
    // Each number of a key or value meets every head of the group once.
    const double mads = 2.0 * sequences_ * kContext * shape_.kv_heads * shape_.group * shape_.head_dim;
    state.counters["mad"] = mads / best.work_seconds;
    state.counters["GBps"] = rate / 1e9;
    if (shape_.order != Order::same_block) {
      state.counters["mad_per_byte"] = mads / bytes_;
      state.counters["of_read"] = rate / (static_cast<double>(kPoolBytes) / best.read_seconds);
      state.counters["of_block_read"] = block_seconds / best.work_seconds;
    }
    static constexpr const char* kOrders[] = {"", " in order", " same block"};
    state.SetLabel(std::string(dtype_name(shape_.dtype)) + " " + table.isa +
                   (shape_.bf16 ? " bf16 activations" : "") + kOrders[static_cast<std::size_t>(shape_.order)]);
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
              .bf16 = state.range(5) != 0,
              .order = static_cast<Order>(state.range(6)),
              .kv_heads = static_cast<int>(state.range(7))})
      .run(state);
}

constexpr int kBf16 = static_cast<int>(Dtype::bfloat16), kE4m3 = static_cast<int>(Dtype::fp8_e4m3),
              kInt8 = static_cast<int>(Dtype::int8_per_token_head);

// SmolLM2's shape with every dtype, and that of Llama 3 8B; then blocks, groups and head dims one after the
// other.
BENCHMARK(decode_attention)
    ->ArgNames({"threads", "dtype", "block", "group", "dim", "bf16", "order", "kv_heads"})
    ->ArgsProduct({{2},
                   benchmark::CreateDenseRange(0, static_cast<int>(Dtype::fp8_per_token_head), 1),
                   {64},
                   {3},
                   {64},
                   {0, 1},
                   {0, 1, 2},
                   {3}})
    ->ArgsProduct({{2}, {kBf16, kE4m3, kInt8}, {64}, {4}, {128}, {0}, {0, 1, 2}, {8}})
    ->ArgsProduct({{1}, {kBf16, kE4m3}, {64}, {3}, {64}, {0}, {0}, {3}})
    ->ArgsProduct({{2}, {kBf16, kE4m3, kInt8}, {8, 16, 32, 128}, {3}, {64}, {0}, {0}, {3}})
    ->ArgsProduct(
        {{2}, {kBf16, kE4m3}, {64}, {1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {64}, {0}, {0}, {3}})
    ->ArgsProduct({{2}, {kBf16, kE4m3, kInt8}, {64}, {4}, {64, 80, 96, 128, 256}, {0}, {0}, {3}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace octet::bench
