// How fast this machine's memory can be read: the yardstick of every kernel that is bound by memory.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>

#include "base/huge_memory.h"
#include "base/thread_pool.h"

namespace octet::bench {

// Memory as the cache's pool and the weights have it. Throws std::bad_alloc where the system refuses.
inline HugeMemory allocate(std::size_t bytes) {
  HugeMemory memory(bytes);
  if (bytes > 0 && memory.data() == nullptr) throw std::bad_alloc();
  return memory;
}

__attribute__((target("avx2"))) inline std::uint64_t sum_words(const std::byte* data, std::size_t bytes) {
  __m256i sums[4] = {};
  for (std::size_t i = 0; i + 128 <= bytes; i += 128)
    for (std::size_t k = 0; k < 4; ++k)
      sums[k] =
          _mm256_add_epi64(sums[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + i + 32 * k)));
  const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  std::uint64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sum);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// Seconds that one pass over the buffer takes, all threads of the pool sharing it.
inline double read_once(ThreadPool& pool, const HugeMemory& buffer) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  static std::atomic<std::uint64_t> sink;
  const auto begin = std::chrono::steady_clock::now();
  pool.run(buffer.size() / kPiece,
           [&](std::size_t i, int) { sink += sum_words(buffer.data() + i * kPiece, kPiece); });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The best of several times of `work` and the best of as many plain reads of `buffer`, taken in turn, so that
// whatever else the machine does disturbs both alike.
struct Alternation {
  double work_seconds = std::numeric_limits<double>::infinity();
  double read_seconds = std::numeric_limits<double>::infinity();

  template <class Work>
  double step(ThreadPool& pool, const HugeMemory& buffer, const Work& work) {
    read_seconds = std::min(read_seconds, read_once(pool, buffer));
    const auto begin = std::chrono::steady_clock::now();
    work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    work_seconds = std::min(work_seconds, seconds);
    return seconds;
  }
};

}  // namespace octet::bench
