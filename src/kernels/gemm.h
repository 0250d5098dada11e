// The prefill GEMM: oneDNN's sgemm on the calling thread alone, so that the caller's pool splits the work.
#pragma once

#include <cstdint>

namespace octet::kernels {

// c[m, n] = sum over k of a[m, k] * b[n, k]: a [rows_a, depth] stride a_stride, b [rows_b, depth] stride
// b_stride (a panel of weights, output features by rows), c [rows_a, rows_b] stride c_stride; float32.
// Returns false where oneDNN refuses (out of memory); c is then undefined.
bool sgemm_nt(int rows_a, int rows_b, int depth, const float* a, std::int64_t a_stride, const float* b,
              std::int64_t b_stride, float* c, std::int64_t c_stride) noexcept;

}  // namespace octet::kernels
