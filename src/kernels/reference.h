// The reference kernels: plain loops over numeric's definitions, accumulating in double. They are the
// oracle of every other table's tests, and the fallback for shapes that the fast kernels do not take.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace octet::kernels::reference {

// Element `index` of an array of `dtype`, exactly.
float element(const void* array, Dtype dtype, std::int64_t index) noexcept;
// Encodes `value` as numeric defines it and writes it as element `index`; not for dtypes that are
// is_per_token_head.
void set_element(void* array, Dtype dtype, std::int64_t index, float value) noexcept;

// Of a dtype that is_per_token_head: the scale that stands at `stored`; and storing x [size] as one vector,
// its numbers `stride` bytes apart and its scale at `scale`.
float vector_scale(const std::byte* stored) noexcept;
void set_vector(std::byte* numbers, std::int64_t stride, std::byte* scale, KvDtype dtype, const float* x,
                int size) noexcept;

// softcap * tanh(score / softcap), or the score where softcap is 0.
double softcapped(double score, float softcap) noexcept;

// Number [row, col] of a quantised matrix, rounded once at most.
float quantized_number(const QuantizedMatrix& matrix, int row, int col) noexcept;
void dequantize(const DequantizeArgs& args) noexcept;
void gemv_quantized(const QuantizedGemvArgs& args) noexcept;

void decode_attention(const DecodeAttentionArgs& args) noexcept;
void merge_attention(const MergeAttentionArgs& args) noexcept;
void prefill_attention(const PrefillAttentionArgs& args) noexcept;
std::size_t prefill_scratch_floats(int num_queries, int group, int head_dim) noexcept;
void quantized_attention(const QuantizedAttentionArgs& args) noexcept;
std::size_t quantized_scratch_floats(AttentionMath math, int num_queries, int group, int head_dim) noexcept;

}  // namespace octet::kernels::reference
