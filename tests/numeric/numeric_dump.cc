// Prints what the numeric room makes of every code and every float16, one number a line in a fixed order,
// for ml_dtypes_test.py to compare. Floats are printed as their bits.
#include <bit>
#include <cstdint>
#include <cstdio>

#include "numeric/float16.h"
#include "numeric/fp8.h"

namespace octet {
namespace {

void print(std::uint32_t number) { std::printf("%u\n", number); }
std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

template <class Format>
void print_decoded() {
  for (unsigned code = 0; code < 256; ++code)
    print(bits_of(Format{static_cast<std::uint8_t>(code)}.to_float()));
}

template <class Format>
void print_encoded() {
  for (unsigned code = 0; code < 65536; ++code)
    print(Format::from_float(float16{static_cast<std::uint16_t>(code)}.to_float()).bits);
}

}  // namespace
}  // namespace octet

int main() {
  using namespace octet;
  print_decoded<fp8_e4m3>();
  print_decoded<fp8_e5m2>();
  print_encoded<fp8_e4m3>();
  print_encoded<fp8_e5m2>();
  print_encoded<bfloat16>();
  for (unsigned code = 0; code < 65536; ++code)
    print(bits_of(float16{static_cast<std::uint16_t>(code)}.to_float()));
  return 0;
}
