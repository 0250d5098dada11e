#include "apps/interruption.h"

#include <signal.h>

#include <atomic>

namespace octet::apps {

namespace {

// Lock-free atomics are what a signal handler may touch.
std::atomic<bool> interrupt_seen = false;
std::atomic<LLM*> running_llm = nullptr;

extern "C" void note_interrupt(int) {
  interrupt_seen.store(true);
  if (LLM* llm = running_llm.load()) llm->interrupt();
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action = {};
  action.sa_handler = note_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
}

InterruptGuard::InterruptGuard(LLM& llm) {
  running_llm.store(&llm);
  if (interrupt_seen.load()) llm.interrupt();  // it came while the model was loading
}
InterruptGuard::~InterruptGuard() { running_llm.store(nullptr); }

bool interrupted() { return interrupt_seen.load(); }

}  // namespace octet::apps
