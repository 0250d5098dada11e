#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include <string>

namespace octet::kernels {
namespace {

TEST(DispatchTest, EverySupportedNameGivesItsTable) {
  for (const std::string_view isa : isa_names()) {
    const KernelTable* table = find_table(isa);
    EXPECT_EQ(table != nullptr, isa_supported(isa)) << isa;
    if (table != nullptr) {
      EXPECT_EQ(std::string(table->isa), isa);
    }
  }
  EXPECT_TRUE(isa_supported("reference"));
}

TEST(DispatchTest, NoNameGivesTheLastSupported) {
  std::string_view fastest;
  for (const std::string_view isa : isa_names())
    if (isa_supported(isa)) fastest = isa;
  ASSERT_NE(find_table(""), nullptr);
  EXPECT_EQ(find_table("")->isa, fastest);
}

TEST(DispatchTest, UnknownNamesGiveNothing) {
  EXPECT_EQ(find_table("avx"), nullptr);
  EXPECT_EQ(find_table("AVX2"), nullptr);
  EXPECT_FALSE(isa_supported("sse9"));
  EXPECT_FALSE(isa_supported(""));
}

}  // namespace
}  // namespace octet::kernels
