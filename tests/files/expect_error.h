// Asserts that something throws octet::Error of a code, whose text holds certain words.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"

namespace octet::tests {

template <typename Action>
void expect_error(ErrorCode code, std::initializer_list<std::string_view> words, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << text;
    for (const std::string_view word : words)
      EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
    return;
  }
  ADD_FAILURE() << "nothing was thrown";
}

}  // namespace octet::tests
