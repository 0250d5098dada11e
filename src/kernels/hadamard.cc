#include "kernels/hadamard.h"

#include <cmath>
#include <cstdint>

namespace octet::kernels {

namespace {

// Four floats at a time, which every x86-64 has and no table needs to differ in. The compiler's own vectors
// would begin at the third step and first ask, for every short loop, whether its two halves overlap.
using Floats4 = float __attribute__((vector_size(16)));

Floats4 load(const float* x) {
  Floats4 four;
  __builtin_memcpy(&four, x, sizeof four);
  return four;
}

void store(float* x, Floats4 four) { __builtin_memcpy(x, &four, sizeof four); }

// The pairs one and two apart within four numbers; a + b * -1 is a - b to the bit.
Floats4 first_two_steps(Floats4 x) {
  x = __builtin_shufflevector(x, x, 0, 0, 2, 2) +
      __builtin_shufflevector(x, x, 1, 1, 3, 3) * Floats4{1.0f, -1.0f, 1.0f, -1.0f};
  return __builtin_shufflevector(x, x, 0, 1, 0, 1) +
         __builtin_shufflevector(x, x, 2, 3, 2, 3) * Floats4{1.0f, 1.0f, -1.0f, -1.0f};
}

// One step for all pairs (i, i + half) of a run; half is a multiple of four.
void step(float* run, int size, int half) {
  for (int begin = 0; begin < size; begin += 2 * half) {
    for (int i = begin; i < begin + half; i += 4) {
      const Floats4 a = load(run + i), b = load(run + i + half);
      store(run + i, a + b);
      store(run + i + half, a - b);
    }
  }
}

// A run of 4, 8, 16, … numbers.
void turn(float* run, int size, float factor) {
  for (int i = 0; i < size; i += 4) store(run + i, first_two_steps(load(run + i)));
  for (int half = 4; half < size; half *= 2) step(run, size, half);
  for (int i = 0; i < size; i += 4) store(run + i, load(run + i) * factor);
}

void turn_pair(float* run, float factor) {
  const float a = run[0], b = run[1];
  run[0] = (a + b) * factor;
  run[1] = (a - b) * factor;
}

}  // namespace

void hadamard(float* x, int num_heads, int head_dim) noexcept {
  const int size = head_dim & -head_dim;
  const float factor = 1.0f / std::sqrt(static_cast<float>(size));
  float* const end = x + static_cast<std::int64_t>(num_heads) * head_dim;
  for (float* run = x; run < end; run += size) {
    if (size >= 4)
      turn(run, size, factor);
    else if (size == 2)
      turn_pair(run, factor);
  }
}

}  // namespace octet::kernels
