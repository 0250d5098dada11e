// StreamState: what the engine thread has for one request's reader, and the reader has to say.
//
// The engine's side never waits: what is not read yet is merged into one update. Thread-safe.
#pragma once

#include <octet/async_llm.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace octet::llm {

class StreamState {
 public:
  StreamState(std::string request_id, std::vector<std::int32_t> prompt_token_ids,
              std::function<void()> on_update);

  const std::string& request_id() const { return request_id_; }
  const std::vector<std::int32_t>& prompt_token_ids() const { return prompt_token_ids_; }

  // The engine's side. Nothing may follow an update that is `finished`. False where nobody will hear of it: the
  // stream was broken off, or there is no memory for it and it is broken off now.
  bool deliver(GenerationUpdate update) noexcept;
  // Ends the stream with an error (no memory is left) that its reader makes: nothing is allocated here.
  void break_off() noexcept;
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // The reader's side: as GenerationStream's.
  std::optional<GenerationUpdate> next(std::chrono::milliseconds timeout);
  bool finished() const;
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  const std::string request_id_;
  const std::vector<std::int32_t> prompt_token_ids_;
  const std::function<void()> on_update_;
  std::atomic<bool> cancelled_ = false;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::optional<GenerationUpdate> unread_;
  bool broken_off_ = false;
  bool finished_ = false;  // the last update was taken
};

// Adds `update` to what was not read before it.
void merge(GenerationUpdate& unread, GenerationUpdate update);

}  // namespace octet::llm
