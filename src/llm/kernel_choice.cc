#include "llm/kernel_choice.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "kernels/dispatch.h"

namespace octet::llm {

namespace {

std::string supported_names() {
  std::string names;
  for (const std::string_view name : kernels::isa_names()) {
    if (!kernels::isa_supported(name)) continue;
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

}  // namespace

const kernels::KernelTable& choose_kernels(const std::string& isa) {
  std::string name = isa;
  std::string source = "isa";
  if (name.empty()) {
    const char* environment = std::getenv("OCTET_ISA");
    if (environment != nullptr) name = environment;
    source = "OCTET_ISA";
  }
  const auto names = kernels::isa_names();
  const bool known = name.empty() || std::find(names.begin(), names.end(), name) != names.end();
  if (!known)
    throw Error(ErrorCode::invalid_argument,
                "unknown instruction set '" + name + "'; this CPU has: " + supported_names(), source);
  const kernels::KernelTable* table = kernels::find_table(name);
  if (table == nullptr)
    throw Error(ErrorCode::invalid_argument,
                "this CPU does not run '" + name + "'; it has: " + supported_names(), source);
  return *table;
}

}  // namespace octet::llm
