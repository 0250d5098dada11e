#include "base/checked.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace octet {
namespace {

// Compile-time use is part of the contract.
static_assert(checked_mul(6, 7) == 42);
static_assert(checked_add(40, 2) == 42);

constexpr std::uint64_t kMaxU64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::int64_t kMaxI64 = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMinI64 = std::numeric_limits<std::int64_t>::min();

TEST(CheckedMul, FitsOrNothing) {
  EXPECT_EQ(checked_mul<std::uint64_t>(0, kMaxU64), 0u);
  EXPECT_EQ(checked_mul<std::uint64_t>(1, kMaxU64), kMaxU64);
  EXPECT_EQ(checked_mul<std::uint64_t>(std::uint64_t{1} << 32, std::uint64_t{1} << 31), std::uint64_t{1} << 63);
  EXPECT_EQ(checked_mul<std::uint64_t>(std::uint64_t{1} << 32, std::uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(checked_mul<std::uint64_t>(kMaxU64, 2), std::nullopt);
}

TEST(CheckedMul, SignedEnds) {
  EXPECT_EQ(checked_mul<std::int64_t>(kMaxI64, -1), -kMaxI64);
  EXPECT_EQ(checked_mul<std::int64_t>(kMinI64, 1), kMinI64);
  EXPECT_EQ(checked_mul<std::int64_t>(kMinI64, -1), std::nullopt);
  EXPECT_EQ(checked_mul<std::int64_t>(kMaxI64, 2), std::nullopt);
}

// The narrow types would wrap silently if the product were taken in int and cast.
TEST(CheckedMul, NarrowTypesUseTheirOwnRange) {
  EXPECT_EQ((checked_mul<std::uint8_t>(15, 17)), std::uint8_t{255});
  EXPECT_EQ((checked_mul<std::uint8_t>(16, 16)), std::nullopt);
  EXPECT_EQ((checked_mul<std::int16_t>(256, 128)), std::nullopt);
}

TEST(CheckedAdd, FitsOrNothing) {
  EXPECT_EQ(checked_add<std::uint64_t>(kMaxU64 - 1, 1), kMaxU64);
  EXPECT_EQ(checked_add<std::uint64_t>(kMaxU64, 1), std::nullopt);
  EXPECT_EQ(checked_add<std::int64_t>(kMaxI64, kMinI64), -1);
  EXPECT_EQ(checked_add<std::int64_t>(kMaxI64, 1), std::nullopt);
  EXPECT_EQ(checked_add<std::int64_t>(kMinI64, -1), std::nullopt);
  EXPECT_EQ((checked_add<std::uint8_t>(200, 56)), std::nullopt);
}

}  // namespace
}  // namespace octet
