// The prompts of one HTTP request on their way through the engine together.
#pragma once

#include <octet/async_llm.h>

#include <functional>
#include <memory>
#include <vector>

namespace octet::server {

class GenerationSet {
 public:
  // Submits all of them, or none. Throws Error as AsyncLLM::submit does.
  GenerationSet(AsyncLLM& llm, std::vector<GenerationRequest> requests);
  GenerationSet(GenerationSet&&) = default;

  // Called with a prompt's index and what is new of it; false: nobody wants the rest.
  using OnUpdate = std::function<bool(std::size_t prompt, const GenerationUpdate& update)>;
  // Hands out all updates until every prompt has ended. Returns false, with everything cancelled, where
  // on_update or `gone` (asked several times a second) says that nobody waits. Throws ApiError 500 for the
  // fault that ended a prompt.
  bool run(const OnUpdate& on_update, const std::function<bool()>& gone);

  TokenUsage usage() const;                         // of all prompts, so far
  double first_token_seconds() const;               // since submission; 0 = none yet
  std::vector<std::string> finish_reasons() const;  // of the answers that have ended
  void cancel() { streams_.clear(); }

 private:
  struct Doorbell;
  struct Progress {
    TokenUsage usage;
    bool finished = false;
  };

  bool take(std::size_t prompt, const OnUpdate& on_update);

  std::shared_ptr<Doorbell> doorbell_;  // rung by the engine, which may do so while this is destroyed
  std::vector<GenerationStream> streams_;
  std::vector<Progress> progress_;
  std::vector<std::string> finish_reasons_;
  double first_token_seconds_ = 0;
};

}  // namespace octet::server
