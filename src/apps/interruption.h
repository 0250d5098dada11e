// Ctrl-C: the first one ends the generation in good order, the second one ends the program.
#pragma once

#include <octet/llm.h>

namespace octet::apps {

// From here on SIGINT is noted instead of ending the program, once.
void install_interrupt_handler();
// While this object lives, SIGINT also interrupts `llm`.
class InterruptGuard {
 public:
  explicit InterruptGuard(LLM& llm);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};
bool interrupted();

}  // namespace octet::apps
