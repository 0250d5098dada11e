// The AVX2 table. Compiled with -mavx2 -mfma -mf16c; see vec_avx2.h for what may be included here.
#include "kernels/isa/decode_body.h"
#include "kernels/isa/elementwise_body.h"
#include "kernels/isa/gemm_avx2_body.h"
#include "kernels/isa/gemv_body.h"
#include "kernels/isa/prefill_body.h"
#include "kernels/isa/quantized_attention_body.h"
#include "kernels/isa/quantized_weights_body.h"
#include "kernels/isa/store_body.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {

const KernelTable& avx2_table() noexcept {
  using V = VecF8;
  static constexpr KernelTable table{
      .isa = "avx2",
      .rms_norm = rms_norm<V>,
      .rope = rope<V>,
      .silu_mul = silu_mul<V>,
      .add = add<V>,
      .to_float = to_float<V>,
      .to_bfloat16 = to_bfloat16,
      .gemv = gemv<V>,
      .gemv_bf16 = nullptr,
      .dequantize = dequantize<V>,
      .gemv_quantized = gemv_quantized<V>,
      .pack_activations = pack_activations,
      .gemm = gemm,
      .gemm_quantized = gemm_quantized,
      .gemm_scratch_floats = gemm_scratch_floats,
      .store_kv = store_kv<V>,
      .decode_attention = decode_attention<V>,
      .decode_attention_bf16 = nullptr,
      .merge_attention = merge_attention<V>,
      .prefill_attention = prefill_attention<V>,
      .prefill_attention_bf16 = nullptr,
      .prefill_scratch_floats = prefill_scratch_floats<V>,
      .quantized_attention = quantized_attention<V>,
      .quantized_scratch_floats = quantized_scratch_floats<V>,
  };
  return table;
}

}  // namespace octet::kernels
