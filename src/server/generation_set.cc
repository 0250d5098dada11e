#include "server/generation_set.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "server/api_error.h"

namespace octet::server {

struct GenerationSet::Doorbell {
  std::mutex mutex;
  std::condition_variable rings;
  bool rung = false;

  void ring() {
    {
      const std::lock_guard lock(mutex);
      rung = true;
    }
    rings.notify_one();
  }
  void wait(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex);
    rings.wait_for(lock, timeout, [this] { return rung; });
    rung = false;
  }
};

GenerationSet::GenerationSet(AsyncLLM& llm, std::vector<GenerationRequest> requests)
    : doorbell_(std::make_shared<Doorbell>()), progress_(requests.size()) {
  for (GenerationRequest& request : requests) {
    request.on_update = [doorbell = doorbell_] { doorbell->ring(); };
    streams_.push_back(llm.submit(std::move(request)));
  }
}

bool GenerationSet::run(const OnUpdate& on_update, const std::function<bool()>& gone) {
  constexpr std::chrono::milliseconds kTick(50);  // how soon a client that left is noticed
  std::size_t unfinished = streams_.size();
  while (true) {
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      if (progress_[i].finished) continue;
      if (!take(i, on_update)) {
        cancel();
        return false;
      }
      if (progress_[i].finished) --unfinished;
    }
    if (unfinished == 0) return true;
    if (gone()) {
      cancel();
      return false;
    }
    doorbell_->wait(kTick);
  }
}

bool GenerationSet::take(std::size_t prompt, const OnUpdate& on_update) {
  const std::optional<GenerationUpdate> update = streams_[prompt].next(std::chrono::milliseconds(0));
  if (!update) return true;
  if (update->error) {
    const Error error = *update->error;
    cancel();
    // The request was accepted: what goes wrong now is not the client's fault.
    throw ApiError(error.code() == ErrorCode::unavailable ? 503 : 500, error.what());
  }
  progress_[prompt] = {update->usage, update->finished};
  if (first_token_seconds_ == 0) first_token_seconds_ = update->timings.first_token;
  for (const ChoiceUpdate& choice : update->choices)
    if (!choice.finish_reason.empty()) finish_reasons_.push_back(choice.finish_reason);
  return on_update(prompt, *update);
}

TokenUsage GenerationSet::usage() const {
  TokenUsage sum;
  for (const Progress& progress : progress_) {
    sum.prompt_tokens += progress.usage.prompt_tokens;
    sum.cached_tokens += progress.usage.cached_tokens;
    sum.completion_tokens += progress.usage.completion_tokens;
  }
  return sum;
}

double GenerationSet::first_token_seconds() const { return first_token_seconds_; }
std::vector<std::string> GenerationSet::finish_reasons() const { return finish_reasons_; }

}  // namespace octet::server
