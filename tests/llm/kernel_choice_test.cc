#include "llm/kernel_choice.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "kernels/dispatch.h"
#include "llm/tiny_llm.h"

namespace octet::llm {
namespace {

// Sets OCTET_ISA for one test and puts back what was there.
class Environment {
 public:
  explicit Environment(const char* value) {
    if (const char* old = std::getenv("OCTET_ISA")) old_ = old;
    if (value == nullptr)
      unsetenv("OCTET_ISA");
    else
      setenv("OCTET_ISA", value, 1);
  }
  ~Environment() {
    if (old_)
      setenv("OCTET_ISA", old_->c_str(), 1);
    else
      unsetenv("OCTET_ISA");
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::optional<std::string> old_;
};

TEST(KernelChoice, TakesTheNamedTable) {
  const Environment environment("avx2");
  EXPECT_STREQ(choose_kernels("reference").isa, "reference");
}

TEST(KernelChoice, TakesTheEnvironmentsTableWhereNoneIsNamed) {
  const Environment environment("reference");
  EXPECT_STREQ(choose_kernels("").isa, "reference");
}

TEST(KernelChoice, TakesTheFastestWhereNothingIsSaid) {
  const Environment environment(nullptr);
  std::string fastest;
  for (const auto name : kernels::isa_names())
    if (kernels::isa_supported(name)) fastest = name;
  EXPECT_EQ(choose_kernels("").isa, fastest);
}

TEST(KernelChoice, AnUnknownNameListsWhatThisCpuHas) {
  const Environment environment(nullptr);
  const Error error = tests::error_of([] { choose_kernels("sse9"); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error.context(), "isa");
  EXPECT_NE(error.message().find("sse9"), std::string::npos);
  EXPECT_NE(error.message().find("reference"), std::string::npos);
}

TEST(KernelChoice, ABadEnvironmentIsAnErrorThatNamesIt) {
  const Environment environment("sse9");
  EXPECT_EQ(tests::error_of([] { choose_kernels(""); }).context(), "OCTET_ISA");
}

TEST(KernelChoice, ATableThatThisCpuLacksIsAnError) {
  for (const auto name : kernels::isa_names()) {
    if (kernels::isa_supported(name)) continue;
    const Error error = tests::error_of([&] { choose_kernels(std::string(name)); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(error.message().find(name), std::string::npos);
    return;
  }
  GTEST_SKIP() << "this CPU runs every table";
}

}  // namespace
}  // namespace octet::llm
