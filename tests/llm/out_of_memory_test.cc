// Memory that runs out on the engine's thread, at every one of its allocations: what fails ends its own
// request, the thread goes on, and no block is left behind.
#include <gtest/gtest.h>
#include <octet/async_llm.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <vector>

#include "llm/tiny_llm.h"

namespace {

// Allocations of this thread that still succeed before a run of them fails; -1: all do.
thread_local int left_before_failure = -1;
thread_local int failures = 0;
std::atomic<int> allocations_failed = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  if (left_before_failure == 0 && failures > 0) {
    if (--failures == 0) left_before_failure = -1;
    ++allocations_failed;
    throw std::bad_alloc();
  }
  if (left_before_failure > 0) --left_before_failure;
  void* memory = alignment > alignof(std::max_align_t)
                     ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                     : std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) { return allocate(size, 0); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
// The sanitizers have their own of these, which what is freed here would not fit.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return allocate(size, 0);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace octet {
namespace {

using namespace std::chrono_literals;

GenerationRequest request(std::string prompt, int n, std::function<void()> on_update = {}) {
  SamplingParams params{.n = n, .temperature = 0, .ignore_eos = true, .max_tokens = 24, .logprobs = 1};
  return {.prompt = std::move(prompt), .params = std::move(params), .on_update = std::move(on_update)};
}

// How the request ended, without the time it took.
std::string outcome(GenerationStream& stream) {
  try {
    const RequestOutput output = stream.wait();
    return output.outputs.front().finish_reason + ": " + output.outputs.front().text;
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(OutOfMemory, EndsRequestsAndNotTheEngine) {
  tests::ScratchFolder folder;
  AsyncLLMOptions options;
  options.llm.model = tests::write_tiny_llm(folder.path());
  options.llm.threads = 1;
  options.llm.block_size = 8;
  AsyncLLM llm(options);
  GenerationStream whole = llm.submit(request("one prompt", 1));
  const std::string expected = outcome(whole);
  int broken = 0, right = 0;
  for (const int run_of_failures : {1, 40}) {
    for (int allowed = 0; allowed < 250; ++allowed) {
      // The callback is called on the engine's thread, and arms it once the other requests are there.
      std::atomic<bool> go = false, armed = false;
      GenerationStream first = llm.submit(request("the first", 3, [&] {
        while (!go.load()) std::this_thread::yield();
        if (armed.exchange(true)) return;
        left_before_failure = allowed;
        failures = run_of_failures;
      }));
      std::vector<GenerationStream> streams;
      for (int i = 0; i < 2; ++i) streams.push_back(llm.submit(request("one prompt", 1 + i)));
      go = true;
      for (GenerationStream& stream : streams) {
        const std::string how = outcome(stream);
        if (how == expected)
          ++right;
        else if (how == "engine: out of memory")
          ++broken;
        else
          ADD_FAILURE() << how << " after " << allowed;
      }
      outcome(first);
      ASSERT_TRUE(llm.wait_until_idle(20s)) << "after " << allowed;
      const AsyncLLMStats stats = llm.stats();
      ASSERT_EQ(stats.kv_cache_used_blocks, 0) << "after " << allowed << " of " << run_of_failures;
      ASSERT_EQ(stats.num_requests_running + stats.num_requests_waiting, 0);
    }
  }
  EXPECT_GE(allocations_failed, 400);
  EXPECT_GT(broken, 100);
  EXPECT_GT(right, 100);
  const AsyncLLMStats stats = llm.stats();
  EXPECT_EQ(stats.requests_length + stats.requests_error + stats.requests_abort, 1 + 500 * 6)
      << "every answer is counted once";
  std::string last;  // what is left of the failures comes first
  for (int i = 0; i < 60 && last != expected; ++i) {
    GenerationStream stream = llm.submit(request("one prompt", 1));
    last = outcome(stream);
  }
  EXPECT_EQ(last, expected);
}

}  // namespace
}  // namespace octet
