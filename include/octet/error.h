// The one exception type of Octet: what went wrong (code), where (context) and how (message).
//
// Thrown while loading, calibrating and validating. Computing does not throw, and a full cache is a
// value, not an error. Errors are plain values, safe to copy between threads.
#pragma once

#include <stdexcept>
#include <string>

#define OCTET_EXPORT __attribute__((visibility("default")))

namespace octet {

// What kind of fault it is; the server maps it to an HTTP status, the program to an exit status.
enum class ErrorCode {
  invalid_argument,  // the caller's value: a flag, a sampling parameter, a prompt that is too long
  not_found,         // a file, a tensor or a model that is not there
  invalid_file,      // a file that is truncated, corrupt or contradicts itself
  unsupported,       // well-formed, but of a kind that Octet does not run
  out_of_memory,     // does not fit, for example a cache too small for one sequence
  io,                // the operating system refused to read or write
  overloaded,        // more requests than may wait: try again later
  unavailable,       // the engine is shutting down
  internal,          // a broken invariant: a bug in Octet
};

class OCTET_EXPORT Error : public std::runtime_error {
 public:
  // `context` names the file, tensor, field or flag; what() is "context: message".
  Error(ErrorCode code, std::string message, std::string context = {});

  ErrorCode code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& context() const noexcept { return context_; }

 private:
  ErrorCode code_;
  std::string message_;
  std::string context_;
};

}  // namespace octet
