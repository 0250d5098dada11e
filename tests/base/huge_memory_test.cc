#include "base/huge_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace octet {
namespace {

TEST(HugeMemory, IsAlignedZeroedAndWritable) {
  const std::size_t size = (std::size_t{2} << 20) + 12345;
  const HugeMemory memory(size);
  ASSERT_NE(memory.data(), nullptr);
  EXPECT_EQ(memory.size(), size);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % (std::size_t{2} << 20), 0u);
  for (const std::size_t i : {std::size_t{0}, std::size_t{4096}, size - 1}) {
    EXPECT_EQ(memory.data()[i], std::byte{0});
    memory.data()[i] = std::byte{7};
    EXPECT_EQ(memory.data()[i], std::byte{7});
  }
}

TEST(HugeMemory, NothingOrTooMuchIsNull) {
  EXPECT_EQ(HugeMemory().data(), nullptr);
  EXPECT_EQ(HugeMemory(0).data(), nullptr);
  EXPECT_EQ(HugeMemory(SIZE_MAX).data(), nullptr);
  EXPECT_EQ(HugeMemory(SIZE_MAX / 2).data(), nullptr);  // more than an address space
}

TEST(HugeMemory, MovesWithItsBytes) {
  HugeMemory first(100);
  first.data()[99] = std::byte{5};
  HugeMemory second = std::move(first);
  EXPECT_EQ(second.data()[99], std::byte{5});
  HugeMemory third(10);
  third = std::move(second);
  EXPECT_EQ(third.size(), 100u);
  EXPECT_EQ(third.data()[99], std::byte{5});
}

}  // namespace
}  // namespace octet
