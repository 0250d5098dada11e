#include "evaluate/windows.h"

#include <gtest/gtest.h>

#include <numeric>

namespace octet::evaluate {
namespace {

std::vector<std::int32_t> counting(int size) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(size));
  std::iota(ids.begin(), ids.end(), 100);
  return ids;
}

// Whatever the sizes: every token of the document is scored once, in order, predicts the one behind it, and is
// read after the right context.
TEST(Windows, EveryTokenIsScoredOnceAfterItsContext) {
  const std::vector<std::int32_t> prefixes[] = {{}, {7}};
  for (const int size : {1, 2, 5, 16, 17, 40})
    for (const int context : {2, 4, 5, 16, 64})
      for (int stride = 2; stride <= context; ++stride)
        for (const std::vector<std::int32_t>& prefix : prefixes) {
          SCOPED_TRACE(testing::Message() << size << " " << context << " " << stride << " " << prefix.size());
          const std::vector<std::int32_t> document = counting(size);
          std::size_t next = 0;
          for (const Window& window : cut_windows(document, prefix, context, stride)) {
            ASSERT_LE(window.ids.size(), static_cast<std::size_t>(context));
            ASSERT_EQ(window.targets.size(), window.ids.size());
            const std::size_t before = next == 0 ? 0 : prefix.size();
            for (std::size_t i = 0; i < before; ++i) ASSERT_EQ(window.ids[i], prefix[i]);
            const auto first = static_cast<std::size_t>(window.first_scored);
            ASSERT_EQ(first - before, std::min(next, static_cast<std::size_t>(context - stride)));
            for (std::size_t i = before; i < first; ++i) ASSERT_EQ(window.ids[i], document[next - (first - i)]);
            ASSERT_LT(first, window.ids.size());
            for (std::size_t i = first; i < window.ids.size(); ++i, ++next) {
              ASSERT_EQ(window.ids[i], document[next]);
              ASSERT_EQ(window.targets[i], next + 1 < document.size() ? document[next + 1] : kNoTarget);
            }
          }
          ASSERT_EQ(next, document.size());
        }
}

}  // namespace
}  // namespace octet::evaluate
