// Quantise-and-store: branch-free arithmetic on the bits of a float, which the compiler vectorises; bit for
// bit what numeric's from_float gives (the test compares them over all float16 values and more).
#pragma once

#include "kernels/isa/vec_avx2.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {
namespace {

// A format of up to 16 bits: its fraction bits, its least normal exponent, the largest code (infinity where
// the format keeps it), and the code of NaN.
template <int MantissaBits, int MinExponent, std::uint32_t MaxCode, std::uint32_t NanCode>
OCTET_INLINE std::uint32_t small_float_code(std::uint32_t word, int sign_shift) {
  constexpr int dropped = 23 - MantissaBits;
  const std::uint32_t size = word & 0x7fffffffu;
  // Normal: round the fraction to nearest, ties to even, in place; a carry raises the exponent.
  constexpr std::uint32_t bias = static_cast<std::uint32_t>(127 + MinExponent - 1) << MantissaBits;
  const std::uint32_t normal =
      ((size + ((1u << (dropped - 1)) - 1u) + ((size >> dropped) & 1u)) >> dropped) - bias;
  // Subnormal: the sum with a float whose last bit is the format's least value rounds the same way.
  constexpr std::uint32_t magic = static_cast<std::uint32_t>(127 + MinExponent - MantissaBits + 23) << 23;
  const float sum = __builtin_bit_cast(float, size) + __builtin_bit_cast(float, magic);
  const std::uint32_t subnormal = __builtin_bit_cast(std::uint32_t, sum) - magic;
  constexpr std::uint32_t least_normal = static_cast<std::uint32_t>(127 + MinExponent) << 23;
  std::uint32_t code = size < least_normal ? subnormal : normal;
  code = code > MaxCode ? MaxCode : code;
  code = size > 0x7f800000u ? NanCode : code;
  return code | ((word & 0x80000000u) >> sign_shift);
}

template <Dtype D>
struct Stored {
  using Type = std::uint8_t;
};
template <>
struct Stored<Dtype::float32> {
  using Type = float;
};
template <>
struct Stored<Dtype::float16> {
  using Type = std::uint16_t;
};
template <>
struct Stored<Dtype::bfloat16> {
  using Type = std::uint16_t;
};

template <Dtype D>
OCTET_INLINE typename Stored<D>::Type encode(float value) {
  const auto word = __builtin_bit_cast(std::uint32_t, value);
  if constexpr (D == Dtype::float32) {
    return value;
  } else if constexpr (D == Dtype::float16) {
    return static_cast<std::uint16_t>(small_float_code<10, -14, 0x7bffu, 0x7e00u>(word, 16));
  } else if constexpr (D == Dtype::bfloat16) {
    const std::uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    const std::uint32_t nan = (word >> 16) | 0x40u;
    return static_cast<std::uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
  } else if constexpr (D == Dtype::fp8_e4m3) {
    return static_cast<std::uint8_t>(small_float_code<3, -6, 0x7eu, 0x7fu>(word, 24));
  } else {
    return static_cast<std::uint8_t>(small_float_code<2, -14, 0x7bu, 0x7eu>(word, 24));
  }
}

inline void to_bfloat16(std::uint16_t* out, const float* x, std::int64_t size) noexcept {
  for (std::int64_t i = 0; i < size; ++i) out[i] = encode<Dtype::bfloat16>(x[i]);
}

// out[d * stride] = code of x[d] / scale.
template <Dtype D>
void store_head(void* pool, std::int64_t first, int stride, const float* x, float scale, int head_dim) {
  using Type = typename Stored<D>::Type;
  constexpr int chunk = 64;
  Type* out = static_cast<Type*>(pool) + first;
  for (int begin = 0; begin < head_dim; begin += chunk) {
    const int n = head_dim - begin < chunk ? head_dim - begin : chunk;
    Type codes[chunk];
    for (int i = 0; i < n; ++i) codes[i] = encode<D>(x[begin + i] / scale);
    for (int i = 0; i < n; ++i) out[static_cast<std::int64_t>(begin + i) * stride] = codes[i];
  }
}

// -127 … 127 rounded to nearest, ties to even, as sign and magnitude.
OCTET_INLINE std::uint8_t signed_byte_code(float value) {
  const auto integer =
      static_cast<std::int32_t>(__builtin_bit_cast(std::uint32_t, value + 0x1.8p+23f) - 0x4b400000u);
  return static_cast<std::uint8_t>(integer < 0 ? 0x80 - integer : integer);
}

// As store_head, with a scale of the vector's own, which is written to `scale` (numeric/per_token_head.h).
template <Dtype D>
void store_vector(std::byte* out, int stride, std::byte* scale, const float* x, int head_dim) {
  // Magnitudes of floats are ordered as their bits are, those of infinities and NaNs above all.
  std::uint32_t most = 0;
  for (int i = 0; i < head_dim; ++i) {
    const std::uint32_t size = __builtin_bit_cast(std::uint32_t, x[i]) & 0x7fffffffu;
    most = size > most ? size : most;
  }
  const float exact = __builtin_bit_cast(float, most) / (D == Dtype::fp8_e4m3 ? 448.0f : 127.0f);
  const bool finite = most < 0x7f800000u;
  const std::uint32_t rounded = finite ? (__builtin_bit_cast(std::uint32_t, exact) + 0xffffu) >> 16 : 0x7fc0u;
  const auto stored = static_cast<std::uint16_t>(rounded);
  __builtin_memcpy(scale, &stored, sizeof stored);
  // Zeros are divided by 1 to give zeros.
  const float step = finite && rounded != 0 ? __builtin_bit_cast(float, rounded << 16) : 1.0f;
  constexpr int chunk = 64;
  for (int begin = 0; begin < head_dim; begin += chunk) {
    const int n = head_dim - begin < chunk ? head_dim - begin : chunk;
    std::uint8_t codes[chunk];
    for (int i = 0; i < n; ++i) {
      const float steps = finite ? x[begin + i] / step : 0.0f;
      if constexpr (D == Dtype::fp8_e4m3)
        codes[i] = encode<D>(steps);
      else
        codes[i] = signed_byte_code(steps);
    }
    for (int i = 0; i < n; ++i) out[static_cast<std::int64_t>(begin + i) * stride] = std::byte{codes[i]};
  }
}

// One head's vector x at element `first`, its numbers `stride` apart, of the head's part of a block.
OCTET_INLINE void store_head(const KvView& kv, Dtype dtype, std::byte* head, std::int64_t first, int stride,
                             int slot, const float* x, float scale) {
  switch (dtype) {
    case Dtype::float32:
      return store_head<Dtype::float32>(head, first, stride, x, scale, kv.head_dim);
    case Dtype::float16:
      return store_head<Dtype::float16>(head, first, stride, x, scale, kv.head_dim);
    case Dtype::bfloat16:
      return store_head<Dtype::bfloat16>(head, first, stride, x, scale, kv.head_dim);
    case Dtype::fp8_e4m3:
      return store_head<Dtype::fp8_e4m3>(head, first, stride, x, scale, kv.head_dim);
    case Dtype::fp8_e5m2:
      return store_head<Dtype::fp8_e5m2>(head, first, stride, x, scale, kv.head_dim);
    case Dtype::int8_per_token_head:
    case Dtype::int8_hadamard_per_token_head:
      return store_vector<Dtype::int8_per_token_head>(head + first, stride, slot_scale(head, dtype, kv, slot),
                                                      x, kv.head_dim);
    case Dtype::fp8_per_token_head:
      return store_vector<Dtype::fp8_e4m3>(head + first, stride, slot_scale(head, dtype, kv, slot), x,
                                           kv.head_dim);
  }
}

// V picks no instruction here; it keeps each table's copy apart.
template <class V>
void store_kv(const StoreKvArgs& args) noexcept {
  const KvView& kv = *args.kv;
  const std::int64_t block = args.slot / kv.block_size;
  const int slot = static_cast<int>(args.slot % kv.block_size);
  for (int h = 0; h < kv.num_kv_heads; ++h) {
    const std::int64_t row = static_cast<std::int64_t>(h) * kv.head_dim;
    store_head(kv, kv.k_dtype, k_head(kv, block, h), k_offset(kv, slot, 0), kv.k_tile, slot, args.k + row,
               kv.k_scale[h]);
    store_head(kv, kv.v_dtype, v_head(kv, block, h), v_offset(kv, slot, 0), 1, slot, args.v + row,
               kv.v_scale[h]);
  }
}

}  // namespace
}  // namespace octet::kernels
