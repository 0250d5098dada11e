#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace octet {
namespace {

using std::chrono::milliseconds;

// Long enough for every worker to give up polling and sleep on the condition variable.
constexpr milliseconds kUntilAsleep{5};

TEST(ThreadPool, CountsTheCaller) {
  EXPECT_EQ(ThreadPool(1).num_threads(), 1);
  EXPECT_EQ(ThreadPool(5).num_threads(), 5);
  EXPECT_EQ(ThreadPool(0).num_threads(), physical_cores());
  EXPECT_GE(physical_cores(), 1);
  EXPECT_LE(physical_cores(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST(ThreadPool, RefusesANegativeCount) {
  try {
    ThreadPool pool(-1);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.context(), "threads");
  }
}

// A limit on address space below what the stacks need: the pool must clean up and say so, not terminate.
TEST(ThreadPool, SaysHowManyThreadsTheSystemAllows) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need the address space";
#endif
  const auto start_too_many = [] {
    struct rlimit limit = {};
    limit.rlim_cur = limit.rlim_max = std::size_t{1} << 30;
    if (setrlimit(RLIMIT_AS, &limit) != 0) std::exit(2);
    try {
      ThreadPool pool(2000);
    } catch (const Error& error) {
      const bool right = error.code() == ErrorCode::out_of_memory && error.context() == "threads" &&
                         error.message().find("of 2000 threads") != std::string::npos;
      std::exit(right ? 0 : 3);
    }
    std::exit(4);
  };
  EXPECT_EXIT(start_too_many(), testing::ExitedWithCode(0), "");
}

TEST(ThreadPool, CallsEveryIndexOnceAndNothingElse) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const std::size_t num_tasks : {0, 1, 2, 3, 7, 8, 9, 64, 1000}) {
      std::vector<std::atomic<int>> calls(num_tasks + 1);
      std::atomic<int> strange_threads{0};
      pool.run(num_tasks, [&](std::size_t index, int thread) {
        calls[std::min(index, num_tasks)].fetch_add(1);
        if (thread < 0 || thread >= threads) strange_threads.fetch_add(1);
      });
      for (std::size_t i = 0; i < num_tasks; ++i) ASSERT_EQ(calls[i].load(), 1) << i << " of " << num_tasks;
      EXPECT_EQ(calls[num_tasks].load(), 0) << "an index past the end";
      EXPECT_EQ(strange_threads.load(), 0);
    }
  }
}

TEST(ThreadPool, StreamsCallEveryIndexOnceAndNothingElse) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const std::size_t num_tasks : {0, 1, 2, 3, 7, 8, 9, 64, 1000}) {
      std::vector<std::atomic<int>> calls(num_tasks + 1);
      pool.run_streams(num_tasks,
                       [&](std::size_t index, int) { calls[std::min(index, num_tasks)].fetch_add(1); });
      for (std::size_t i = 0; i < num_tasks; ++i) ASSERT_EQ(calls[i].load(), 1) << i << " of " << num_tasks;
      EXPECT_EQ(calls[num_tasks].load(), 0) << "an index past the end";
    }
  }
}

// The caller stays in its first task until all that others can do is done: its own range is taken from the end,
// and what it had begun with stays the first.
TEST(ThreadPool, StreamsAreRangesAndTheirRestIsTakenByWhoeverIsDone) {
  constexpr std::size_t kTasks = 40;
  ThreadPool pool(2);
  std::atomic<std::size_t> others{0};
  std::vector<std::size_t> own;
  std::vector<std::size_t> taken;  // by thread 1
  pool.run_streams(kTasks, [&](std::size_t index, int thread) {
    if (thread == 1) {
      taken.push_back(index);
      others.fetch_add(1);
      return;
    }
    own.push_back(index);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (others.load() < kTasks - 1 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  EXPECT_EQ(own, std::vector<std::size_t>{0});
  ASSERT_EQ(taken.size(), kTasks - 1);
  for (std::size_t i = 0; i < kTasks / 2; ++i) EXPECT_EQ(taken[i], kTasks / 2 + i);
  for (std::size_t i = kTasks / 2; i < taken.size(); ++i) EXPECT_EQ(taken[i], kTasks - 1 - i);
}

// Loops of both orders one after the other, with plain writes, as below.
TEST(ThreadPool, ManyTinyStreamsSeeEachOthersWrites) {
  ThreadPool pool(4);
  std::vector<std::uint64_t> values(7, 0);
  for (int loop = 0; loop < 5000; ++loop) {
    const auto add = [&](std::size_t index, int) { values[index] += 1; };
    if (loop % 3 == 0)
      pool.run(values.size(), add);
    else
      pool.run_streams(values.size(), add);
    std::rotate(values.begin(), values.begin() + 1, values.end());
  }
  EXPECT_EQ(values, std::vector<std::uint64_t>(values.size(), 5000));
}

// Plain (not atomic) writes: the thread sanitizer sees it if run() returned before a task's writes are
// visible, or if a late worker still reads the loop that has ended.
TEST(ThreadPool, ManyTinyLoopsSeeEachOthersWrites) {
  ThreadPool pool(4);
  std::vector<std::uint64_t> values(7, 0);
  for (int loop = 0; loop < 5000; ++loop) {
    const std::size_t num_tasks = 1 + static_cast<std::size_t>(loop) % values.size();
    // Each loop reads what another thread may have written in the loop before.
    pool.run(num_tasks, [&](std::size_t index, int) { values[index] += 1; });
    std::rotate(values.begin(), values.begin() + 1, values.end());
  }
  std::uint64_t total = 0, expected = 0;
  for (const std::uint64_t value : values) total += value;
  for (std::size_t loop = 0; loop < 5000; ++loop) expected += 1 + loop % values.size();
  EXPECT_EQ(total, expected);
}

TEST(ThreadPool, EachThreadNumberBelongsToOneThreadOfALoop) {
  ThreadPool pool(4);
  for (int loop = 0; loop < 200; ++loop) {
    std::vector<int> calls_of_thread(4, 0);  // not atomic: two threads with one number would race
    pool.run(64, [&](std::size_t, int thread) { ++calls_of_thread[static_cast<std::size_t>(thread)]; });
    int total = 0;
    for (const int calls : calls_of_thread) total += calls;
    ASSERT_EQ(total, 64);
  }
}

TEST(ThreadPool, TheCallerIsThreadZero) {
  ThreadPool pool(3);
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> wrong{0};
  for (int loop = 0; loop < 100; ++loop)
    pool.run(16, [&](std::size_t, int thread) {
      if ((thread == 0) != (std::this_thread::get_id() == caller)) wrong.fetch_add(1);
    });
  EXPECT_EQ(wrong.load(), 0);
}

// Two tasks that wait for each other finish only if two threads run them at the same time.
TEST(ThreadPool, SleepingWorkersWakeForALoop) {
  ThreadPool pool(2);
  for (int loop = 0; loop < 20; ++loop) {
    std::this_thread::sleep_for(kUntilAsleep);
    std::atomic<int> arrived{0};
    std::atomic<bool> met[2] = {false, false};
    pool.run(2, [&](std::size_t index, int) {
      arrived.fetch_add(1);
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      while (arrived.load() < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      met[index] = arrived.load() == 2;
    });
    ASSERT_TRUE(met[0].load() && met[1].load()) << "no worker came";
  }
}

// Pauses around the length of the polling phase, where a worker is just going to sleep as a loop begins:
// a lost wake-up would hang here.
TEST(ThreadPool, LoopsThatBeginAsWorkersFallAsleep) {
  ThreadPool pool(3);
  std::atomic<std::uint64_t> total{0};
  for (int loop = 0; loop < 2000; ++loop) {
    pool.run(3, [&](std::size_t, int) { total.fetch_add(1, std::memory_order_relaxed); });
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(loop % 200);
    while (std::chrono::steady_clock::now() < until) {
    }
  }
  EXPECT_EQ(total.load(), 6000u);
}

TEST(ThreadPool, IndicesAreHandedOutInRisingOrder) {
  ThreadPool pool(4);
  std::vector<std::vector<std::size_t>> seen(4);
  pool.run(500,
           [&](std::size_t index, int thread) { seen[static_cast<std::size_t>(thread)].push_back(index); });
  for (const std::vector<std::size_t>& indices : seen)
    EXPECT_TRUE(std::is_sorted(indices.begin(), indices.end()));
}

TEST(ThreadPool, ConstantAndMutableTasks) {
  ThreadPool pool(2);
  std::atomic<int> calls{0};
  const auto constant = [&](std::size_t, int) { calls.fetch_add(1); };
  pool.run(10, constant);
  auto counting = [&calls, own = std::atomic<int>{0}](std::size_t, int) mutable {
    own.fetch_add(1);
    calls.store(own.load());
  };
  pool.run(1, counting);
  EXPECT_EQ(calls.load(), 1);
}

// Sleeping, polling and never-used workers all end with the pool.
TEST(ThreadPool, IsDestroyedInEveryState) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool unused(4);
    ThreadPool polling(4);
    polling.run(8, [](std::size_t, int) {});
    if (i % 10 == 0) std::this_thread::sleep_for(kUntilAsleep);
  }
}

}  // namespace
}  // namespace octet
