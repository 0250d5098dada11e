#include "kernels/hadamard.h"

#include <cmath>
#include <cstdint>

namespace octet::kernels {

namespace {

// One step for all pairs (i, i + half) of a run. Both loops are short and regular: the compiler's vectors do.
void butterflies(float* run, int size, int half) {
  for (int begin = 0; begin < size; begin += 2 * half) {
    for (int i = begin; i < begin + half; ++i) {
      const float a = run[i];
      const float b = run[i + half];
      run[i] = a + b;
      run[i + half] = a - b;
    }
  }
}

}  // namespace

void hadamard(float* x, int num_heads, int head_dim) noexcept {
  const int size = head_dim & -head_dim;
  const float factor = 1.0f / std::sqrt(static_cast<float>(size));
  float* const end = x + static_cast<std::int64_t>(num_heads) * head_dim;
  for (float* run = x; run < end; run += size) {
    for (int half = 1; half < size; half *= 2) butterflies(run, size, half);
    for (int i = 0; i < size; ++i) run[i] *= factor;
  }
}

}  // namespace octet::kernels
