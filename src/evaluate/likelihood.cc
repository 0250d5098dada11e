#include "evaluate/likelihood.h"

#include <algorithm>

#include "base/error.h"
#include "evaluate/cached_sequences.h"

namespace octet::evaluate {

namespace {

// Tokens of a chunk: their logits are held twice (with their probabilities), so a large vocabulary gets fewer.
int chunk_tokens(int vocab) {
  constexpr std::int64_t kLogitBytes = std::int64_t{64} << 20;
  const std::int64_t tokens = kLogitBytes / (static_cast<std::int64_t>(sizeof(float)) * vocab);
  return static_cast<int>(std::clamp<std::int64_t>(tokens / 16 * 16, 16, kMostStepTokens / 2));
}

class SideBySide {
 public:
  SideBySide(std::span<const Subject> subjects, ThreadPool& pool, LikelihoodScores& scores)
      : subjects_(subjects),
        pool_(pool),
        scores_(scores),
        vocab_(subjects.front().model->config().vocab_size) {}

  // `report` is called after each step with its number of tokens.
  template <typename Report>
  void run(const Window& window, const Report& report) {
    std::vector<CachedSequences> sequences;
    for (const Subject& subject : subjects_) sequences.emplace_back(subject);
    const int size = static_cast<int>(window.ids.size());
    const int chunk = chunk_tokens(vocab_);
    for (int begin = 0; begin < size; begin += chunk) {
      const int end = std::min(size, begin + chunk);
      const int first = std::clamp(window.first_scored, begin, end);
      for (int p = first; p < end; ++p) scores_.positions.push_back(p);
      for (std::size_t s = 0; s < subjects_.size(); ++s) {
        score_chunk(window, begin, first, end, sequences[s], s);
        report(end - begin);
      }
    }
  }

 private:
  void score_chunk(const Window& window, int begin, int first, int end, CachedSequences& sequence,
                   std::size_t s) {
    const std::span<const std::int32_t> ids(window.ids);
    if (first > begin)
      sequence.feed(ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(first - begin)),
                    Logits::none);
    if (first == end) return;
    const auto offset = static_cast<std::size_t>(first);
    const auto count = static_cast<std::size_t>(end - first);
    const std::span<float> logits = sequence.feed(ids.subspan(offset, count), Logits::all);
    if (s == 0) reference_.set(logits, vocab_, pool_, subjects_[0].name);
    reference_.compare(logits, std::span<const std::int32_t>(window.targets).subspan(offset, count), pool_,
                       subjects_[s].name, rows_);
    scores_.subjects[s].insert(scores_.subjects[s].end(), rows_.begin(), rows_.end());
  }

  std::span<const Subject> subjects_;
  ThreadPool& pool_;
  LikelihoodScores& scores_;
  int vocab_;
  ReferenceRows reference_;
  std::vector<RowScore> rows_;
};

}  // namespace

LikelihoodScores score_windows(std::span<const Window> windows, std::span<const Subject> subjects,
                               ThreadPool& pool, const Progress& progress) {
  OCTET_CHECK(!subjects.empty());
  LikelihoodScores scores;
  scores.subjects.resize(subjects.size());
  std::int64_t total = 0, done = 0;
  for (const Window& window : windows)
    total += static_cast<std::int64_t>(window.ids.size()) * static_cast<std::int64_t>(subjects.size());
  SideBySide side_by_side(subjects, pool, scores);
  for (const Window& window : windows)
    side_by_side.run(window, [&](int tokens) {
      done += tokens;
      if (progress) progress(done, total);
    });
  return scores;
}

}  // namespace octet::evaluate
