#include "base/huge_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

namespace octet {

HugeMemory::HugeMemory(std::size_t bytes) noexcept {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  if (bytes == 0 || bytes > SIZE_MAX - kHugePage) return;
  void* mapping = ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return;
  mapping_ = mapping;
  mapped_bytes_ = bytes + kHugePage;
  size_ = bytes;
  const std::size_t misalignment = reinterpret_cast<std::uintptr_t>(mapping) % kHugePage;
  data_ = static_cast<std::byte*>(mapping) + (misalignment == 0 ? 0 : kHugePage - misalignment);
  ::madvise(mapping, mapped_bytes_, MADV_HUGEPAGE);  // advice: a system without huge pages says no: fine
}

HugeMemory::~HugeMemory() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapped_bytes_);
}

HugeMemory::HugeMemory(HugeMemory&& other) noexcept { *this = std::move(other); }

HugeMemory& HugeMemory::operator=(HugeMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  return *this;
}

}  // namespace octet
