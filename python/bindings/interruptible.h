// A progress callback of the library that lets Python's signals in, so that Ctrl-C ends a long computation
// where it may be ended, and hands what it tells to a Python function.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>

namespace octet::python {

// Lives on the stack of the thread that computes. The GIL is not held between calls of step().
class Interruptible {
 public:
  explicit Interruptible(nanobind::object on_progress) : on_progress_(std::move(on_progress)) {}

  // False where the computation is to end: a signal handler (Ctrl-C) or the function raised.
  template <typename MakeArguments>
  bool step(const MakeArguments& arguments) {
    const nanobind::gil_scoped_acquire gil;
    try {
      if (PyErr_CheckSignals() != 0) nanobind::raise_python_error();
      if (!on_progress_.is_none()) on_progress_(*arguments());
      return true;
    } catch (...) {
      raised_ = std::current_exception();
      return false;
    }
  }

  // With the GIL held, after the computation: raises what ended it.
  void rethrow() const {
    if (raised_) std::rethrow_exception(raised_);
  }

 private:
  nanobind::object on_progress_;
  std::exception_ptr raised_;
};

}  // namespace octet::python
