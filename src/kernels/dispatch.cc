#include "kernels/dispatch.h"

#include <array>

namespace octet::kernels {

namespace {

struct Isa {
  std::string_view name;
  bool (*supported)();
  const KernelTable& (*table)() noexcept;
};

constexpr std::array kIsas{
    Isa{"reference", [] { return true; }, reference_table},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kIsas.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kIsas[i].name;
  return names;
}();

}  // namespace

bool isa_supported(std::string_view isa) noexcept { return !isa.empty() && find_table(isa) != nullptr; }

std::span<const std::string_view> isa_names() noexcept { return kNames; }

const KernelTable* find_table(std::string_view isa) noexcept {
  const KernelTable* found = nullptr;
  for (const Isa& candidate : kIsas)
    if ((isa.empty() || isa == candidate.name) && candidate.supported()) found = &candidate.table();
  return found;
}

}  // namespace octet::kernels
