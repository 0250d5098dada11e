// The yardstick for decoding: how fast this machine's memory can be read at all.
#include <immintrin.h>
#include <octet/bench.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "base/huge_memory.h"
#include "base/thread_pool.h"

namespace octet {

namespace {

constexpr std::size_t kBufferBytes = std::size_t{512} << 20;  // far past any last-level cache
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;     // what a thread takes at a time
constexpr int kPasses = 5;

// Four independent sums, so that the adds never wait for each other; the result keeps the loads alive. The
// thread sanitizer, which would look at each load of gigabytes, has nothing to find in them.
__attribute__((target("avx2"), no_sanitize("thread"))) std::uint64_t sum_avx2(const std::byte* data,
                                                                              std::size_t bytes) {
  __m256i sums[4] = {};
  for (std::size_t i = 0; i < bytes; i += 128)
    for (std::size_t k = 0; k < 4; ++k)
      sums[k] =
          _mm256_add_epi64(sums[k], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32 * k)));
  const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sum);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// SSE2 is part of every x86-64.
std::uint64_t sum_sse2(const std::byte* data, std::size_t bytes) {
  __m128i sums[4] = {};
  for (std::size_t i = 0; i < bytes; i += 64)
    for (std::size_t k = 0; k < 4; ++k)
      sums[k] = _mm_add_epi64(sums[k], _mm_load_si128(reinterpret_cast<const __m128i*>(data + i + 16 * k)));
  const __m128i sum = _mm_add_epi64(_mm_add_epi64(sums[0], sums[1]), _mm_add_epi64(sums[2], sums[3]));
  alignas(16) std::uint64_t lanes[2];
  _mm_store_si128(reinterpret_cast<__m128i*>(lanes), sum);
  return lanes[0] + lanes[1];
}

HugeMemory map_buffer() {
  HugeMemory memory(kBufferBytes);
  if (memory.data() == nullptr)
    throw Error(ErrorCode::out_of_memory, "cannot map " + std::to_string(kBufferBytes) + " bytes",
                "read bandwidth");
  return memory;
}

}  // namespace

double measure_read_bandwidth(int threads) {
  ThreadPool pool(threads);
  const HugeMemory buffer = map_buffer();
  constexpr std::size_t kPieces = kBufferBytes / kPieceBytes;
  // Written first: pages that were never written are all the same page of zeros, which stays in the cache.
  pool.run(kPieces, [&](std::size_t piece, int) {
    std::memset(buffer.data() + piece * kPieceBytes, static_cast<int>(piece | 1) & 0xff, kPieceBytes);
  });
  const bool wide = __builtin_cpu_supports("avx2");
  std::atomic<std::uint64_t> total = 0;
  double best_seconds = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    pool.run(kPieces, [&](std::size_t piece, int) {
      const std::byte* data = buffer.data() + piece * kPieceBytes;
      total += wide ? sum_avx2(data, kPieceBytes) : sum_sse2(data, kPieceBytes);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (pass == 0 || seconds < best_seconds) best_seconds = seconds;
  }
  OCTET_CHECK(total != 0);
  return static_cast<double>(kBufferBytes) / best_seconds;
}

}  // namespace octet
