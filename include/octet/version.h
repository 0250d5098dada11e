// The version of the library that is linked, which may be newer than the headers.
#pragma once

#include <octet/error.h>

namespace octet {

// "MAJOR.MINOR.PATCH"; a string that lives as long as the program.
OCTET_EXPORT const char* version() noexcept;

}  // namespace octet
