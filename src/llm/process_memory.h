// The memory of this process that is in RAM, as Linux counts it: anonymous pages and pages of mapped files
// alike.
#pragma once

#include <cstdint>

namespace octet::llm {

// The largest so far is from now on counted from what it is now. Returns false where the system does not let
// us.
bool reset_peak_memory();

// Bytes; 0 where the system does not say.
std::int64_t peak_memory_bytes();

}  // namespace octet::llm
