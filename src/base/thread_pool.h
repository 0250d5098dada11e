// A fixed pool of threads that run one parallel loop at a time: the fork-join under every layer.
//
// Workers spin briefly between loops (a decode step forks some 200 times, microseconds apart) and then
// sleep, so an idle pool costs nothing. The calling thread takes part. One thread may call run() at a
// time; no allocation after construction.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace octet {

class ThreadPool {
 public:
  // `num_threads` counts the caller; 0 means physical_cores(). Throws Error{invalid_argument} if negative,
  // Error{out_of_memory} where the system refuses that many.
  explicit ThreadPool(int num_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const noexcept;

  // Calls task(index, thread) once for every index in [0, num_tasks), handed out one at a time in rising
  // order to whichever thread is free; `thread` is in [0, num_threads()). Returns when all are done.
  // `task` must not throw.
  template <typename Task>
  void run(std::size_t num_tasks, Task&& task) {
    run_erased(num_tasks, Order::rising, address_of(task), call<std::remove_reference_t<Task>>);
  }

  // The same, each thread going through a range of its own first, in rising order, so that tasks which read
  // memory one behind the other are one stream a thread; whoever is done takes the last tasks of the others.
  // At most 2^32 - 1 tasks.
  template <typename Task>
  void run_streams(std::size_t num_tasks, Task&& task) {
    run_erased(num_tasks, Order::streams, address_of(task), call<std::remove_reference_t<Task>>);
  }

 private:
  using TaskFunction = void (*)(void* context, std::size_t index, int thread);
  enum class Order { rising, streams };

  template <typename Task>
  static void* address_of(Task& task) {
    return const_cast<void*>(static_cast<const void*>(&task));
  }
  template <typename Task>
  static void call(void* context, std::size_t index, int thread) {
    (*static_cast<Task*>(context))(index, thread);
  }
  void run_erased(std::size_t num_tasks, Order order, void* context, TaskFunction function);

  struct State;
  std::unique_ptr<State> state_;
};

// The number of physical cores this process may run on (hyper-threads counted once), at least 1.
int physical_cores();

}  // namespace octet
