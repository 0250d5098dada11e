#include "files/printable.h"

#include <gtest/gtest.h>

namespace octet::files {
namespace {

TEST(Printable, KeepsTextAndReplacesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("model.layers.0 é 日"), "model.layers.0 é 日");
  EXPECT_EQ(printable("a\n\x1b[31m\x7f"), "a??[31m?");
  EXPECT_EQ(printable("a\xff\xe6\x97"), "a???");
  EXPECT_EQ(printable("\xc0\x80"), "??");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abcdef…");
  EXPECT_EQ(printable("abé", 3), "ab…");
}

}  // namespace
}  // namespace octet::files
