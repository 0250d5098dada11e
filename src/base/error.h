// Throwing and checking: the internal face of octet::Error. Include this, not <octet/error.h>.
#pragma once

#include <octet/error.h>

namespace octet {

// Throws Error{internal} naming the place; what OCTET_CHECK calls.
[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace octet

// An invariant of our own code, checked in every build. Bad input is not an invariant: throw Error.
#define OCTET_CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::octet::check_failed(#expression, __FILE__, __LINE__))

// The same in debug builds only, for checks on hot paths.
#ifdef NDEBUG
#define OCTET_DCHECK(expression) static_cast<void>(0)
#else
#define OCTET_DCHECK(expression) OCTET_CHECK(expression)
#endif
