// The AVX-512-BF16 table: the AVX-512 functions, decode attention over caches that bfloat16 holds exactly, and
// linear layers and prefill attention in bfloat16. Compiled with -mavx512bf16 -mavx512vbmi and what avx512.cc
// needs; see vec_avx2.h for what may be included here.
#include "kernels/isa/decode_bf16_body.h"
#include "kernels/isa/gemv_bf16_body.h"
#include "kernels/isa/prefill_bf16_body.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {

namespace {

template <Precision P>
void decode_attention(const DecodeAttentionArgs& args) noexcept {
  if (fits_pairs(*args.kv))
    decode_attention_in_pairs<P>(args);
  else
    avx512_table().decode_attention(args);
}

}  // namespace

const KernelTable& avx512_bf16_table() noexcept {
  static const KernelTable table = [] {
    KernelTable with = avx512_table();
    with.isa = "avx512_bf16";
    with.decode_attention = decode_attention<Precision::split>;
    with.decode_attention_bf16 = decode_attention<Precision::rounded>;
    with.gemv_bf16 = gemv_bf16;
    with.prefill_attention_bf16 = prefill_attention_bf16;
    return with;
  }();
  return table;
}

}  // namespace octet::kernels
