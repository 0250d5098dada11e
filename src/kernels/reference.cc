#include "kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "numeric/float16.h"
#include "numeric/fp8.h"
#include "numeric/per_token_head.h"

namespace octet::kernels {

namespace reference {

namespace {

struct float32 {
  float bits = 0.0f;
  static float32 from_float(float value) { return {value}; }
  float to_float() const { return bits; }
};

// By memcpy: weights in a file may stand at any address.
template <class Format>
float load(const void* array, std::int64_t index) {
  Format stored;
  std::memcpy(&stored, static_cast<const std::byte*>(array) + index * std::int64_t{sizeof(Format)},
              sizeof(Format));
  return stored.to_float();
}

template <class Format>
void save(void* array, std::int64_t index, float value) {
  const Format stored = Format::from_float(value);
  std::memcpy(static_cast<std::byte*>(array) + index * std::int64_t{sizeof(Format)}, &stored, sizeof(Format));
}

}  // namespace

float element(const void* array, Dtype dtype, std::int64_t index) noexcept {
  switch (dtype) {
    case Dtype::float32:
      return load<float32>(array, index);
    case Dtype::float16:
      return load<float16>(array, index);
    case Dtype::bfloat16:
      return load<bfloat16>(array, index);
    case Dtype::fp8_e4m3:
      return load<fp8_e4m3>(array, index);
    case Dtype::fp8_e5m2:
      return load<fp8_e5m2>(array, index);
    case Dtype::int8_per_token_head:
    case Dtype::int8_hadamard_per_token_head:
      return load<signed_byte>(array, index);
    case Dtype::fp8_per_token_head:
      return load<fp8_e4m3>(array, index);
  }
  return 0.0f;
}

void set_element(void* array, Dtype dtype, std::int64_t index, float value) noexcept {
  switch (dtype) {
    case Dtype::float32:
      return save<float32>(array, index, value);
    case Dtype::float16:
      // -0 and NaN pass: neither is beyond the largest value.
      return save<float16>(array, index,
                           value > float16::max    ? float16::max
                           : value < -float16::max ? -float16::max
                                                   : value);
    case Dtype::bfloat16:
      return save<bfloat16>(array, index, value);
    case Dtype::fp8_e4m3:
      return save<fp8_e4m3>(array, index, value);
    case Dtype::fp8_e5m2:
      return save<fp8_e5m2>(array, index, value);
    case Dtype::int8_per_token_head:
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      break;  // a number alone has no scale: set_vector
  }
}

float vector_scale(const std::byte* stored) noexcept { return load<bfloat16>(stored, 0); }

void set_vector(std::byte* numbers, std::int64_t stride, std::byte* scale, KvDtype dtype, const float* x,
                int size) noexcept {
  float absmax = 0.0f;
  for (int i = 0; i < size; ++i)
    absmax = std::isfinite(x[i]) ? std::max(absmax, std::fabs(x[i])) : std::numeric_limits<float>::infinity();
  // An infinity is larger than all that follow it.
  const bfloat16 stored = octet::vector_scale(dtype, absmax);
  std::memcpy(scale, &stored, sizeof stored);
  for (int i = 0; i < size; ++i) numbers[i * stride] = std::byte{vector_code(dtype, x[i], stored)};
}

namespace {

void rms_norm(float* out, const float* x, const float* gain, int size, float epsilon) noexcept {
  double squares = 0.0;
  for (int i = 0; i < size; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double factor = 1.0 / std::sqrt(squares / size + static_cast<double>(epsilon));
  for (int i = 0; i < size; ++i)
    out[i] = static_cast<float>(static_cast<double>(x[i]) * factor * static_cast<double>(gain[i]));
}

void rope(float* x, const float* cos, const float* sin, int num_heads, int head_dim) noexcept {
  const int half = head_dim / 2;
  for (int h = 0; h < num_heads; ++h) {
    float* head = x + static_cast<std::int64_t>(h) * head_dim;
    for (int i = 0; i < half; ++i) {
      const float a = head[i];
      const float b = head[i + half];
      head[i] = a * cos[i] - b * sin[i];
      head[i + half] = b * cos[i] + a * sin[i];
    }
  }
}

void silu_mul(float* out, const float* gate, const float* up, int size) noexcept {
  for (int i = 0; i < size; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void add(float* x, const float* y, int size) noexcept {
  for (int i = 0; i < size; ++i) x[i] += y[i];
}

void to_float(float* out, const void* in, Dtype dtype, std::int64_t size) noexcept {
  for (std::int64_t i = 0; i < size; ++i) out[i] = element(in, dtype, i);
}

void to_bfloat16(std::uint16_t* out, const float* x, std::int64_t size) noexcept {
  for (std::int64_t i = 0; i < size; ++i) out[i] = bfloat16::from_float(x[i]).bits;
}

void gemv(const GemvArgs& args) noexcept {
  for (int m = 0; m < args.num_tokens; ++m) {
    const float* x = args.x + m * args.x_stride;
    for (int r = args.row_begin; r < args.row_end; ++r) {
      const std::int64_t row = static_cast<std::int64_t>(r) * args.cols;
      double dot = 0.0;
      for (int c = 0; c < args.cols; ++c)
        dot +=
            static_cast<double>(x[c]) * static_cast<double>(element(args.weight, args.weight_dtype, row + c));
      args.y[m * args.y_stride + r] = static_cast<float>(dot);
    }
  }
}

void store_kv(const StoreKvArgs& args) noexcept {
  const KvView& kv = *args.kv;
  const std::int64_t block = args.slot / kv.block_size;
  const int slot = static_cast<int>(args.slot % kv.block_size);
  for (int h = 0; h < kv.num_kv_heads; ++h) {
    std::byte* keys = k_head(kv, block, h);
    std::byte* values = v_head(kv, block, h);
    const float* k = args.k + static_cast<std::int64_t>(h) * kv.head_dim;
    const float* v = args.v + static_cast<std::int64_t>(h) * kv.head_dim;
    if (is_per_token_head(kv.k_dtype))
      set_vector(keys + k_offset(kv, slot, 0), kv.k_tile, slot_scale(keys, kv.k_dtype, kv, slot), kv.k_dtype, k,
                 kv.head_dim);
    else
      for (int d = 0; d < kv.head_dim; ++d)
        set_element(keys, kv.k_dtype, k_offset(kv, slot, d), k[d] / kv.k_scale[h]);
    if (is_per_token_head(kv.v_dtype))
      set_vector(values + v_offset(kv, slot, 0), 1, slot_scale(values, kv.v_dtype, kv, slot), kv.v_dtype, v,
                 kv.head_dim);
    else
      for (int d = 0; d < kv.head_dim; ++d)
        set_element(values, kv.v_dtype, v_offset(kv, slot, d), v[d] / kv.v_scale[h]);
  }
}

}  // namespace

}  // namespace reference

const KernelTable& reference_table() noexcept {
  static constexpr KernelTable table{
      .isa = "reference",
      .rms_norm = reference::rms_norm,
      .rope = reference::rope,
      .silu_mul = reference::silu_mul,
      .add = reference::add,
      .to_float = reference::to_float,
      .to_bfloat16 = reference::to_bfloat16,
      .gemv = reference::gemv,
      .gemv_bf16 = nullptr,
      .dequantize = reference::dequantize,
      .gemv_quantized = reference::gemv_quantized,
      .pack_activations = nullptr,
      .gemm = nullptr,
      .gemm_quantized = nullptr,
      .gemm_scratch_floats = nullptr,
      .store_kv = reference::store_kv,
      .decode_attention = reference::decode_attention,
      .decode_attention_bf16 = nullptr,
      .merge_attention = reference::merge_attention,
      .prefill_attention = reference::prefill_attention,
      .prefill_attention_bf16 = nullptr,
      .prefill_scratch_floats = reference::prefill_scratch_floats,
      .quantized_attention = reference::quantized_attention,
      .quantized_scratch_floats = reference::quantized_scratch_floats,
  };
  return table;
}

}  // namespace octet::kernels
