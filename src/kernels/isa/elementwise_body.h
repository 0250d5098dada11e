// The small per-element kernels, over any vector struct V (vec_avx2.h): rms_norm, rope, silu_mul, add and
// to_float. They are memory or latency bound, so none is unrolled further than its dependency chain asks.
#pragma once

#include "kernels/isa/vec_avx2.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {
namespace {

// The first n (1..V::width) values of type D and zeros; reads no byte beyond them.
template <class V, Dtype D>
OCTET_INLINE V load_exact_first(const void* p, int n) {
  alignas(64) std::byte buffer[V::width * sizeof(float)] = {};
  __builtin_memcpy(buffer, p, static_cast<std::size_t>(n) * dtype_bytes(D));
  return V::template load_exact<D>(buffer);
}

template <class V>
void rms_norm(float* out, const float* x, const float* gain, int size, float epsilon) noexcept {
  constexpr int w = V::width;
  V squares[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int i = 0;
  for (; i + 4 * w <= size; i += 4 * w)
    for (int j = 0; j < 4; ++j) {
      const V part = V::load(x + i + j * w);
      squares[j] = fma(part, part, squares[j]);
    }
  for (; i < size; i += w) {
    const V part = V::load_first(x + i, size - i);
    squares[0] = fma(part, part, squares[0]);
  }
  const float mean =
      ((squares[0] + squares[1]) + (squares[2] + squares[3])).reduce_add() / static_cast<float>(size);
  const float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + epsilon)));
  const V factor = V::broadcast(1.0f / root);
  for (i = 0; i + w <= size; i += w) (V::load(x + i) * factor * V::load(gain + i)).store(out + i);
  if (i < size) {
    const V last = V::load_first(x + i, size - i) * factor * V::load_first(gain + i, size - i);
    last.store_first(out + i, size - i);
  }
}

template <class V>
void rope(float* x, const float* cos, const float* sin, int num_heads, int head_dim) noexcept {
  const int half = head_dim / 2;
  for (int h = 0; h < num_heads; ++h) {
    float* low = x + static_cast<std::int64_t>(h) * head_dim;
    float* high = low + half;
    int i = 0;
    for (; i + V::width <= half; i += V::width) {
      const V a = V::load(low + i), b = V::load(high + i), c = V::load(cos + i), s = V::load(sin + i);
      (a * c - b * s).store(low + i);
      (b * c + a * s).store(high + i);
    }
    if (const int n = half - i; n > 0) {
      const V a = V::load_first(low + i, n), b = V::load_first(high + i, n);
      const V c = V::load_first(cos + i, n), s = V::load_first(sin + i, n);
      (a * c - b * s).store_first(low + i, n);
      (b * c + a * s).store_first(high + i, n);
    }
  }
}

template <class V>
OCTET_INLINE V silu_mul_of(V gate, V up) {
  return gate / (V::broadcast(1.0f) + exp(V::zero() - gate)) * up;
}

template <class V>
void silu_mul(float* out, const float* gate, const float* up, int size) noexcept {
  int i = 0;
  for (; i + V::width <= size; i += V::width) silu_mul_of(V::load(gate + i), V::load(up + i)).store(out + i);
  if (const int n = size - i; n > 0)
    silu_mul_of(V::load_first(gate + i, n), V::load_first(up + i, n)).store_first(out + i, n);
}

template <class V>
void add(float* x, const float* y, int size) noexcept {
  int i = 0;
  for (; i + V::width <= size; i += V::width) (V::load(x + i) + V::load(y + i)).store(x + i);
  if (const int n = size - i; n > 0) (V::load_first(x + i, n) + V::load_first(y + i, n)).store_first(x + i, n);
}

template <class V, Dtype D>
void to_float_from(float* out, const void* in, std::int64_t size) noexcept {
  const auto* bytes = static_cast<const std::byte*>(in);
  std::int64_t i = 0;
  for (; i + V::width <= size; i += V::width)
    V::template load_exact<D>(bytes + i * std::int64_t{dtype_bytes(D)}).store(out + i);
  if (const int n = static_cast<int>(size - i); n > 0)
    load_exact_first<V, D>(bytes + i * std::int64_t{dtype_bytes(D)}, n).store_first(out + i, n);
}

template <class V>
void to_float(float* out, const void* in, Dtype dtype, std::int64_t size) noexcept {
  switch (dtype) {
    case Dtype::float32:
      return to_float_from<V, Dtype::float32>(out, in, size);
    case Dtype::float16:
      return to_float_from<V, Dtype::float16>(out, in, size);
    case Dtype::bfloat16:
      return to_float_from<V, Dtype::bfloat16>(out, in, size);
    case Dtype::fp8_e4m3:
      return to_float_from<V, Dtype::fp8_e4m3>(out, in, size);
    case Dtype::fp8_e5m2:
      return to_float_from<V, Dtype::fp8_e5m2>(out, in, size);
    case Dtype::int8_per_token_head:
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      return;  // of caches alone: no weight is stored so
  }
}

}  // namespace
}  // namespace octet::kernels
