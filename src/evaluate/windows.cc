#include "evaluate/windows.h"

#include <algorithm>
#include <cstddef>

#include "base/error.h"

namespace octet::evaluate {

std::vector<Window> cut_windows(std::span<const std::int32_t> document, std::span<const std::int32_t> prefix,
                                int context, int stride) {
  OCTET_CHECK(stride > 0 && stride <= context && prefix.size() < static_cast<std::size_t>(stride));
  const auto overlap = static_cast<std::size_t>(context - stride);
  std::vector<Window> windows;
  std::size_t scored = 0;  // tokens of the document that stand in a window already
  while (scored < document.size()) {
    Window window;
    std::size_t begin = 0;
    if (scored > 0) {
      window.ids.assign(prefix.begin(), prefix.end());
      begin = scored - std::min(overlap, scored);
    }
    const std::size_t room = static_cast<std::size_t>(context) - window.ids.size();
    const std::size_t end = std::min(document.size(), begin + room);
    window.first_scored = static_cast<int>(window.ids.size() + (scored - begin));
    window.targets.assign(window.ids.size(), kNoTarget);
    for (std::size_t i = begin; i < end; ++i) {
      window.ids.push_back(document[i]);
      window.targets.push_back(i + 1 < document.size() ? document[i + 1] : kNoTarget);
    }
    windows.push_back(std::move(window));
    scored = end;
  }
  return windows;
}

}  // namespace octet::evaluate
