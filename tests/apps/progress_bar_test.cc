#include "apps/progress_bar.h"

#include <gtest/gtest.h>

namespace octet::apps {
namespace {

TEST(ProgressBar, LineSaysHowFarHowFastAndHowLong) {
  EXPECT_EQ(progress_line("calibrating", "samples", 256, 512, 671.4, 200),
            "calibrating [############            ] 256/512 samples, 671 tokens/s, 3 min 20 s left");
  EXPECT_EQ(progress_line("calibrating", "samples", 512, 512, 1, 0),
            "calibrating [########################] 512/512 samples, 1 tokens/s, 0.0 s left");
  EXPECT_EQ(progress_line("x", "y", 0, 0, 0, -1), "x [                        ] 0/0 y, 0 tokens/s");
}

// The tests' standard error is no terminal.
TEST(ProgressBar, ElsewhereATaskIsALineOrNothing) {
  testing::internal::CaptureStderr();
  {
    ProgressBar bar("tokens", ProgressBar::Elsewhere::tasks);
    for (const char* task : {"layers", "layers", "drift"}) bar.show(task, 1, 7);
    ProgressBar silent("samples", ProgressBar::Elsewhere::nothing);
    silent.show("calibrating", 1, 2, 3.0);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "octet: layers, 7 tokens\noctet: drift, 7 tokens\n");
}

TEST(ProgressBar, DurationsHaveTwoUnitsAtMost) {
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(5.72), "5.7 s");
  EXPECT_EQ(duration_text(59.6), "1 min 0 s");
  EXPECT_EQ(duration_text(7500), "2 h 5 min");
}

}  // namespace
}  // namespace octet::apps
