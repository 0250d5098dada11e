#include "tables.h"

#include <cstdio>
#include <deque>

#include "kernels/dispatch.h"

namespace octet::kernels {

#ifdef OCTET_TEST_EMULATED_AVX512
const KernelTable& avx512_emulated_table() noexcept;
#endif

const std::vector<NamedTable>& tables_under_test() {
  static const std::vector<NamedTable> tables = [] {
    std::vector<NamedTable> found;
    for (const std::string_view isa : isa_names()) {
      if (isa == "reference") continue;
      if (isa_supported(isa))
        found.push_back({std::string(isa), find_table(isa)});
      else
        std::printf("skipped: %s, which this CPU lacks\n", std::string(isa).c_str());
    }
#ifdef OCTET_TEST_EMULATED_AVX512
    if (isa_supported("avx2"))  // SIMDe's halves are AVX2
      found.push_back({"avx512_emulated", &avx512_emulated_table()});
    else
      std::printf("skipped: avx512_emulated, which needs AVX2\n");
#elif !defined(OCTET_TEST_NATIVE_AVX512)
    std::printf("skipped: avx512_emulated, since the build found no SIMDe\n");
#endif
    return found;
  }();
  return tables;
}

std::vector<NamedTable> tables_with(const std::string& suffix, bool (*replace)(KernelTable&)) {
  static std::deque<KernelTable> owned;  // tests hold pointers until the program ends
  std::vector<NamedTable> found;
  for (const NamedTable& named : tables_under_test()) {
    KernelTable table = *named.table;
    if (replace(table)) found.push_back({named.name + suffix, &owned.emplace_back(table)});
  }
  return found;
}

}  // namespace octet::kernels
