// The kernel tables that this machine can test against the reference, and a fixture that runs each.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"

namespace octet::kernels {

struct NamedTable {
  std::string name;
  const KernelTable* table;
};

// Every table but the reference that this CPU runs, and the AVX-512 code emulated by SIMDe where the build
// found it. Prints what is left out.
const std::vector<NamedTable>& tables_under_test();

// The tables among them that `replace` finds a function in to test in another's place, with it there: it
// changes the copy that it is handed, or returns false. Their names end in `suffix`.
std::vector<NamedTable> tables_with(const std::string& suffix, bool (*replace)(KernelTable&));

class TableTest : public testing::TestWithParam<NamedTable> {
 protected:
  const KernelTable& table() const { return *GetParam().table; }
  const KernelTable& reference() const { return reference_table(); }
};

#define OCTET_INSTANTIATE_TABLES(Suite)                                           \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Suite);                           \
  INSTANTIATE_TEST_SUITE_P(Tables, Suite, testing::ValuesIn(tables_under_test()), \
                           [](const auto& instance) { return instance.param.name; })

inline void PrintTo(const NamedTable& table, std::ostream* out) { *out << table.name; }

}  // namespace octet::kernels
