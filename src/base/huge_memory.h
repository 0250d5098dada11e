// HugeMemory: anonymous memory on huge pages where the system grants them, for what every token reads whole
// (weights, cache): with 4 KiB pages, walking the page tables of such a stream costs a fifth of its rate.
//
// Pages come, zeroed, when they are first written. Owned by one object; any thread may read and write it.
#pragma once

#include <cstddef>

namespace octet {

class HugeMemory {
 public:
  HugeMemory() = default;
  // `bytes` of memory; data() is null where the system refuses (or bytes is 0).
  explicit HugeMemory(std::size_t bytes) noexcept;
  ~HugeMemory();
  HugeMemory(HugeMemory&& other) noexcept;
  HugeMemory& operator=(HugeMemory&& other) noexcept;
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;

  std::byte* data() const noexcept { return data_; }  // aligned to 2 MiB
  std::size_t size() const noexcept { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  void* mapping_ = nullptr;
  std::size_t mapped_bytes_ = 0;
};

}  // namespace octet
