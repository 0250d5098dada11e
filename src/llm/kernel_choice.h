// Which kernel table an LLM runs on.
#pragma once

#include <string>

#include "kernels/kernel_table.h"

namespace octet::llm {

// The table called `isa`; where that is empty, the one that the environment variable OCTET_ISA names; where
// that is unset or empty, the fastest that this CPU runs.
// Throws Error{invalid_argument} for an unknown name or one that this CPU lacks, listing what it has.
const kernels::KernelTable& choose_kernels(const std::string& isa);

}  // namespace octet::llm
