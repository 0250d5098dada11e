#include "kernels/dispatch.h"

#include <array>

namespace octet::kernels {

namespace {

struct Isa {
  std::string_view name;
  bool (*supported)();
  const KernelTable& (*table)() noexcept;
};

// __builtin_cpu_supports asks the operating system too: it must save the wider registers.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// Byte permutations are asked for too: Cooper Lake has AVX512-BF16 without them.
bool has_avx512_bf16() {
  return has_avx512() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
}

constexpr std::array kIsas{
    Isa{"reference", [] { return true; }, reference_table},
    Isa{"avx2", has_avx2, avx2_table},
    Isa{"avx512", has_avx512, avx512_table},
    Isa{"avx512_bf16", has_avx512_bf16, avx512_bf16_table},
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
