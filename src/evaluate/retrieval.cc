#include "evaluate/retrieval.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "evaluate/cached_sequences.h"

namespace octet::evaluate {

NeedleScore score_needle(const Subject& subject, const NeedlePrompt& needle) {
  OCTET_CHECK(!needle.prompt.empty() && !needle.answer.empty());
  CachedSequences sequence(subject);
  const std::span<const std::int32_t> prompt(needle.prompt);
  sequence.set_prompt_length(0, static_cast<int>(prompt.size()));
  sequence.fill(0, prompt.first(prompt.size() - 1));
  // The answer is forced, so one step gives the logits before each of its tokens. As long as every one of them
  // is the likeliest, greedy decoding would have gone the same way.
  TokenIds forced = {prompt.back()};
  forced.insert(forced.end(), needle.answer.begin(), needle.answer.end() - 1);
  const std::span<const float> logits = sequence.feed(forced, Logits::all);
  const auto vocab = static_cast<std::size_t>(subject.model->config().vocab_size);

  NeedleScore score{0, true};
  for (std::size_t i = 0; i < needle.answer.size(); ++i) {
    const std::span<const float> row = logits.subspan(i * vocab, vocab);
    const auto top = std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit) - static_cast<double>(*top));
    const auto wanted = static_cast<std::size_t>(needle.answer[i]);
    score.logprob += static_cast<double>(row[wanted]) - static_cast<double>(*top) - std::log(sum);
    score.found = score.found && static_cast<std::size_t>(top - row.begin()) == wanted;
  }
  return score;
}

}  // namespace octet::evaluate
