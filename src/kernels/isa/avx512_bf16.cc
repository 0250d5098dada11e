// The AVX-512-BF16 table: the AVX-512 functions.
//
// vdpbf16ps would round the query, the softmax weights or the activations to 8 bits of mantissa (or take
// two instructions for a high and a low part), and it sums pairs along a dimension that lies across
// K's tiles, where decode attention over a 16-bit or FP8 cache is bound by memory without it. The name
// stands so that a kernel that gains from it has its place.
#include "kernels/kernel_table.h"

namespace octet::kernels {

const KernelTable& avx512_bf16_table() noexcept {
  static const KernelTable table = [] {
    KernelTable same = avx512_table();
    same.isa = "avx512_bf16";
    return same;
  }();
  return table;
}

}  // namespace octet::kernels
