// A flag whose value the command line's own checks cannot judge.
#pragma once

#include <octet/error.h>

#include <string>

namespace octet::apps {

[[noreturn]] inline void refuse_flag(const std::string& flag, const std::string& message) {
  throw Error(ErrorCode::invalid_argument, message, flag);
}

}  // namespace octet::apps
