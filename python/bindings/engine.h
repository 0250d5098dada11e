// Engine: an AsyncLLM that knows which process it belongs to. Threads do not survive fork(): a child that was
// forked from this process may not use it, and letting go of it there must not wait for threads that are not
// there.
#pragma once

#include <octet/async_llm.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "mailbox.h"
#include "request.h"

namespace octet::python {

class Engine {
 public:
  Engine(LLMOptions options, int max_queue, std::string chat_template);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Throws Error{unavailable} in a forked child.
  AsyncLLM& llm() const;

  std::unique_ptr<Request> submit(std::vector<std::int32_t> token_ids, const SamplingParams& params,
                                  const Mailbox& mailbox, std::int64_t key) const;

 private:
  std::unique_ptr<AsyncLLM> llm_;
  const pid_t owner_ = ::getpid();
};

}  // namespace octet::python
