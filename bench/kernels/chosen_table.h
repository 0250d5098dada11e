// The kernel table that the cases run on: the one that OCTET_ISA names, else the fastest.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "kernels/dispatch.h"

namespace octet::bench {

// Ends the program with status 1 for a name that is unknown or that this CPU does not run.
inline const kernels::KernelTable& chosen_table() {
  const char* const isa = std::getenv("OCTET_ISA");
  const kernels::KernelTable* const table = kernels::find_table(isa == nullptr ? "" : isa);
  if (table == nullptr) {
    std::fprintf(stderr, "OCTET_ISA: this CPU does not run '%s'\n", isa);
    std::exit(1);
  }
  return *table;
}

}  // namespace octet::bench
