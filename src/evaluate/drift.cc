#include "evaluate/drift.h"

#include <algorithm>

#include "base/error.h"
#include "evaluate/cached_sequences.h"

namespace octet::evaluate {

std::vector<TokenIds> continue_greedily(const Subject& subject, std::span<const TokenIds> prompts,
                                        int new_tokens, std::span<const std::int32_t> end_tokens,
                                        const Progress& progress) {
  const int count = static_cast<int>(prompts.size());
  CachedSequences sequences(subject, count);
  std::vector<TokenIds> texts(prompts.size());
  const auto vocab = static_cast<std::size_t>(subject.model->config().vocab_size);
  const std::int64_t total = static_cast<std::int64_t>(count) * new_tokens;
  std::int64_t done = 0;

  for (int s = 0; s < count; ++s) {
    const std::span<const std::int32_t> prompt = prompts[static_cast<std::size_t>(s)];
    OCTET_CHECK(!prompt.empty());
    sequences.set_prompt_length(s, static_cast<int>(prompt.size()));
    sequences.fill(s, prompt.first(prompt.size() - 1));
  }
  std::vector<int> running;
  for (int s = 0; s < count; ++s) running.push_back(s);
  while (!running.empty()) {
    std::vector<CachedSequences::Piece> pieces;
    for (const int s : running) {
      const TokenIds& text = texts[static_cast<std::size_t>(s)];
      const TokenIds& source = text.empty() ? prompts[static_cast<std::size_t>(s)] : text;
      pieces.push_back({s, std::span(source).last(1), Logits::last});
    }
    const std::span<const float> logits = sequences.feed(pieces);
    std::vector<int> unfinished;
    for (std::size_t row = 0; row < running.size(); ++row) {
      const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(row * vocab);
      const auto token = static_cast<std::int32_t>(
          std::max_element(begin, begin + static_cast<std::ptrdiff_t>(vocab)) - begin);
      TokenIds& text = texts[static_cast<std::size_t>(running[row])];
      text.push_back(token);
      const bool ended = std::find(end_tokens.begin(), end_tokens.end(), token) != end_tokens.end();
      if (!ended && static_cast<int>(text.size()) < new_tokens) unfinished.push_back(running[row]);
    }
    done += static_cast<std::int64_t>(running.size());
    running = std::move(unfinished);
    if (progress) progress(done, total);
  }
  return texts;
}

Drift compare_continuations(std::span<const std::int32_t> baseline, std::span<const std::int32_t> other) {
  Drift drift{};
  const std::size_t shorter = std::min(baseline.size(), other.size());
  std::size_t same = 0;
  while (same < shorter && baseline[same] == other[same]) ++same;
  drift.first_difference = static_cast<int>(same);
  // lengths[j]: of the longest common subsequence of what was read of `baseline` and the first j of `other`.
  std::vector<int> lengths(other.size() + 1, 0);
  for (const std::int32_t token : baseline) {
    int diagonal = 0;
    for (std::size_t j = 0; j < other.size(); ++j) {
      const int above = lengths[j + 1];
      lengths[j + 1] = token == other[j] ? diagonal + 1 : std::max(above, lengths[j]);
      diagonal = above;
    }
  }
  drift.in_common = lengths.back();
  return drift;
}

}  // namespace octet::evaluate
