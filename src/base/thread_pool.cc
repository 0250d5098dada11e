#include "base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace octet {

namespace {

// About 30 µs of polling: longer than the gap between two loops of one decode step, shorter than
// anything a person would notice on an idle machine.
constexpr int kSpins = 4000;

void pause_cpu() { __builtin_ia32_pause(); }

}  // namespace

struct ThreadPool::State {
  // A thread's range of tasks that nobody has taken: its owner takes the first, others the last.
  class alignas(64) TaskRange {
   public:
    void set(std::uint64_t begin, std::uint64_t end) {
      bounds_.store(end << 32 | begin, std::memory_order_relaxed);
    }
    // False where none is left.
    bool take_first(std::size_t& index) { return take(index, true); }
    bool take_last(std::size_t& index) { return take(index, false); }

   private:
    bool take(std::size_t& index, bool first) {
      std::uint64_t bounds = bounds_.load(std::memory_order_relaxed), left = 0;
      do {
        const std::uint64_t begin = bounds & 0xffffffffu, end = bounds >> 32;
        if (begin >= end) return false;
        index = first ? begin : end - 1;
        left = first ? end << 32 | (begin + 1) : (end - 1) << 32 | begin;
      } while (!bounds_.compare_exchange_weak(bounds, left, std::memory_order_relaxed));
      return true;
    }

    std::atomic<std::uint64_t> bounds_{0};  // end in the high half, begin in the low one
  };

  // `generation` counts loops; a worker that sees it change takes part in that loop. All fields of a loop
  // are written before the release store of generation and read after its acquire load.
  alignas(64) std::atomic<std::uint64_t> generation{0};
  alignas(64) std::atomic<std::size_t> next{0};
  alignas(64) std::atomic<int> busy_workers{0};
  std::size_t num_tasks = 0;
  Order order = Order::rising;
  void* context = nullptr;
  TaskFunction function = nullptr;

  alignas(64) std::atomic<int> sleepers{0};
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<bool> stopping{false};
  std::vector<std::thread> workers;
  std::vector<TaskRange> ranges;  // one a thread

  explicit State(int num_threads) : ranges(static_cast<std::size_t>(num_threads)) {}

  void share_tasks() {
    for (std::size_t i = 0; i < ranges.size(); ++i)
      ranges[i].set(num_tasks * i / ranges.size(), num_tasks * (i + 1) / ranges.size());
  }

  void take_tasks(int thread) {
    if (order == Order::streams) return take_streams(thread);
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < num_tasks;)
      function(context, i, thread);
  }

  void take_streams(int thread) {
    const auto own = static_cast<std::size_t>(thread);
    std::size_t i = 0;
    while (ranges[own].take_first(i)) function(context, i, thread);
    for (std::size_t other = 1; other < ranges.size(); ++other)
      while (ranges[(own + other) % ranges.size()].take_last(i)) function(context, i, thread);
  }

  // Waits until generation differs from `seen`, polling first.
  void wait_for_work(std::uint64_t seen) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (generation.load(std::memory_order_acquire) != seen) return;
      pause_cpu();
    }
    std::unique_lock lock(mutex);
    // Sequentially consistent, as in announce(): either we see the new generation or it sees a sleeper.
    sleepers.fetch_add(1);
    wake.wait(lock, [&] { return generation.load() != seen; });
    sleepers.fetch_sub(1);
  }

  void work(int thread) {
    std::uint64_t seen = 0;
    for (;;) {
      wait_for_work(seen);
      seen = generation.load(std::memory_order_acquire);
      if (stopping.load()) return;
      take_tasks(thread);
      busy_workers.fetch_sub(1, std::memory_order_release);
    }
  }

  void stop_and_join() {
    stopping.store(true);
    announce();
    for (std::thread& worker : workers) worker.join();
  }

  void announce() {
    generation.fetch_add(1);  // sequentially consistent with `sleepers`: one of the two sides sees the other
    if (sleepers.load() == 0) return;
    std::lock_guard lock(mutex);  // a worker between its last look and its sleep holds this
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads < 0)
    throw Error(ErrorCode::invalid_argument, "expected 0 or more, found " + std::to_string(num_threads),
                "threads");
  const int count = num_threads == 0 ? physical_cores() : num_threads;
  state_ = std::make_unique<State>(count);
  try {
    for (int thread = 1; thread < count; ++thread)
      state_->workers.emplace_back([state = state_.get(), thread] { state->work(thread); });
  } catch (const std::exception& error) {  // the system's limit on threads, or no memory for a stack
    const std::size_t started = state_->workers.size();
    state_->stop_and_join();
    throw Error(ErrorCode::out_of_memory,
                "could start only " + std::to_string(started + 1) + " of " + std::to_string(count) +
                    " threads: " + error.what(),
                "threads");
  }
}

ThreadPool::~ThreadPool() { state_->stop_and_join(); }

int ThreadPool::num_threads() const noexcept { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run_erased(std::size_t num_tasks, Order order, void* context, TaskFunction function) {
  State& s = *state_;
  if (s.workers.empty() || num_tasks < 2) {
    for (std::size_t i = 0; i < num_tasks; ++i) function(context, i, 0);
    return;
  }
  s.num_tasks = num_tasks;
  s.order = order;
  if (order == Order::streams) {
    OCTET_CHECK(num_tasks <= UINT32_MAX);
    s.share_tasks();
  }
  s.context = context;
  s.function = function;
  s.next.store(0, std::memory_order_relaxed);
  s.busy_workers.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  s.announce();
  s.take_tasks(0);
  // The workers' tails are short; give the core away only if one of them seems to have lost its own.
  for (int spin = 0; s.busy_workers.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins)
      pause_cpu();
    else
      std::this_thread::yield();
  }
}

int physical_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
  std::set<std::pair<std::string, std::string>> cores;  // (package, core)
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::string package, core;
    std::ifstream(topology + "physical_package_id") >> package;
    std::ifstream(topology + "core_id") >> core;
    if (core.empty()) core = "cpu" + std::to_string(cpu);  // no topology: count logical processors
    cores.emplace(std::move(package), std::move(core));
  }
  return cores.empty() ? 1 : static_cast<int>(cores.size());
}

}  // namespace octet
