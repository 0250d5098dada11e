#include "base/error.h"

#include <utility>

namespace octet {

Error::Error(ErrorCode code, std::string message, std::string context)
    : std::runtime_error(context.empty() ? message : context + ": " + message),
      code_(code),
      message_(std::move(message)),
      context_(std::move(context)) {}

void check_failed(const char* expression, const char* file, int line) {
  throw Error(ErrorCode::internal, std::string("broken invariant: ") + expression,
              std::string(file) + ":" + std::to_string(line));
}

}  // namespace octet
