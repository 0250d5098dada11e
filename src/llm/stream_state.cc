#include "llm/stream_state.h"

#include <algorithm>
#include <new>
#include <utility>

#include "llm/answer.h"

namespace octet::llm {

StreamState::StreamState(std::string request_id, std::vector<std::int32_t> prompt_token_ids,
                         std::function<void()> on_update)
    : request_id_(std::move(request_id)),
      prompt_token_ids_(std::move(prompt_token_ids)),
      on_update_(std::move(on_update)) {}

bool StreamState::deliver(GenerationUpdate update) noexcept {
  try {
    const std::scoped_lock lock(mutex_);
    if (broken_off_) return false;
    if (unread_)
      merge(*unread_, std::move(update));
    else
      unread_ = std::move(update);
  } catch (const std::bad_alloc&) {
    break_off();
    return false;
  }
  arrived_.notify_all();
  if (on_update_) on_update_();
  return true;
}

void StreamState::break_off() noexcept {
  cancel();  // what the engine still does for it is for nobody
  {
    const std::scoped_lock lock(mutex_);
    broken_off_ = true;
  }
  arrived_.notify_all();
  if (on_update_) on_update_();
}

std::optional<GenerationUpdate> StreamState::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  arrived_.wait_for(lock, timeout, [&] { return unread_.has_value() || broken_off_ || finished_; });
  if (broken_off_ && !finished_) {
    const Error error(ErrorCode::internal, "out of memory", "engine");
    std::optional<GenerationUpdate> last = std::exchange(unread_, std::nullopt);
    if (!last) last.emplace();
    last->error = error;
    last->finished = finished_ = true;
    return last;
  }
  std::optional<GenerationUpdate> update = std::exchange(unread_, std::nullopt);
  if (update && update->finished) finished_ = true;
  return update;
}

bool StreamState::finished() const {
  const std::scoped_lock lock(mutex_);
  return finished_;
}

void merge(GenerationUpdate& unread, GenerationUpdate update) {
  for (ChoiceUpdate& choice : update.choices) {
    const auto place =
        std::lower_bound(unread.choices.begin(), unread.choices.end(), choice.index,
                         [](const ChoiceUpdate& known, int index) { return known.index < index; });
    if (place != unread.choices.end() && place->index == choice.index)
      append(*place, std::move(choice));
    else
      unread.choices.insert(place, std::move(choice));
  }
  if (!update.prompt_logprobs.empty()) unread.prompt_logprobs = std::move(update.prompt_logprobs);
  unread.usage = update.usage;
  unread.timings = update.timings;
  unread.finished = update.finished;
  if (update.error) unread.error = std::move(update.error);
}

}  // namespace octet::llm
