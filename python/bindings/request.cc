#include "request.h"

#include <chrono>
#include <cstddef>
#include <iterator>

namespace octet::python {

bool Request::advance() {
  std::optional<GenerationUpdate> update = stream_.next(std::chrono::milliseconds(0));
  if (!update) return false;
  if (update->error) throw Error(*update->error);
  for (ChoiceUpdate& choice : update->choices) add(std::move(choice));
  if (!update->prompt_logprobs.empty()) output_.prompt_logprobs = std::move(update->prompt_logprobs);
  usage_ = update->usage;
  output_.timings = update->timings;
  output_.finished = update->finished;
  return true;
}

void Request::add(ChoiceUpdate choice) {
  while (output_.outputs.size() <= static_cast<std::size_t>(choice.index)) {
    const int index = static_cast<int>(output_.outputs.size());
    output_.outputs.emplace_back().index = index;
  }
  CompletionOutput& known = output_.outputs[static_cast<std::size_t>(choice.index)];
  known.text += choice.text;
  known.token_ids.insert(known.token_ids.end(), choice.token_ids.begin(), choice.token_ids.end());
  for (std::vector<Logprob>& row : choice.logprobs) {
    if (!row.empty()) known.cumulative_logprob += static_cast<double>(row.front().logprob);
    known.logprobs.push_back(std::move(row));
  }
  if (!choice.finish_reason.empty()) {
    known.finish_reason = std::move(choice.finish_reason);
    known.stop_reason = std::move(choice.stop_reason);
  }
}

}  // namespace octet::python
