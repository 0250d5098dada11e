// The likelihood of a text under each configuration, and how far its predictions are from the baseline's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "evaluate/reference_rows.h"
#include "evaluate/subject.h"
#include "evaluate/windows.h"

namespace octet::evaluate {

struct LikelihoodScores {
  std::vector<std::int32_t> positions;          // [scored] position in its window
  std::vector<std::vector<RowScore>> subjects;  // [subject][scored], in text order; subject 0 is the baseline
};

// Runs all subjects side by side over the windows, a chunk of tokens at a time, so that the logits of one chunk
// are all that is ever held. subjects[0] is the baseline; all have its vocabulary, and caches of the longest
// window. Progress counts tokens of all windows and subjects.
LikelihoodScores score_windows(std::span<const Window> windows, std::span<const Subject> subjects,
                               ThreadPool& pool, const Progress& progress);

}  // namespace octet::evaluate
