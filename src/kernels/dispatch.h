// Choosing a KernelTable for this CPU.
#pragma once

#include <span>
#include <string_view>

#include "kernels/kernel_table.h"

namespace octet::kernels {

// Whether this CPU (and operating system) runs the table of that name.
bool isa_supported(std::string_view isa) noexcept;

// All table names, slowest first: "reference", "avx2", "avx512", "avx512_bf16".
std::span<const std::string_view> isa_names() noexcept;

// The table called `isa`, or the fastest supported one where it is empty. Null where the name is unknown
// or the CPU lacks it: the caller (llm/kernel_choice.h) words the error.
const KernelTable* find_table(std::string_view isa) noexcept;

}  // namespace octet::kernels
