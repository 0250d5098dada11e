// How the weights of a linear layer are quantised, and the bytes that they take.
//
// Blocks: a row is cut into blocks of 32 or 256 numbers, and a block holds small integers and the scales that
// turn them into numbers (numeric/weight_blocks.h). Groups: a row is codes alone, and the scales stand in a
// matrix of their own, one for group_rows x group_cols codes. Source: the layouts of ggml's block types
// (ggml-org/ggml, ggml-common.h); compressed-tensors' pack-quantized.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace octet {

enum class WeightFormat : std::uint8_t {
  q4_0,  // blocks
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q4_k,
  q5_k,
  q6_k,
  uint4_groups,  // groups: 0..15, the earlier number in the low nibble
  uint8_groups,  // 0..255
  int8_groups,   // -128..127
  fp8_groups,    // fp8_e4m3
};

constexpr bool is_block_format(WeightFormat format) { return format <= WeightFormat::q6_k; }

// Numbers of a block; of a format with groups, the columns that a kernel takes at once: a group has a multiple.
constexpr int block_elements(WeightFormat format) {
  return format >= WeightFormat::q4_k && is_block_format(format) ? 256 : 32;
}

// Bytes of block_elements numbers.
constexpr int block_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::q4_0:  // scale, 32 x 4 bits
      return 2 + 16;
    case WeightFormat::q4_1:  // scale, offset, 32 x 4 bits
      return 4 + 16;
    case WeightFormat::q5_0:  // scale, 32 x 1 bit, 32 x 4 bits
      return 2 + 4 + 16;
    case WeightFormat::q5_1:
      return 4 + 4 + 16;
    case WeightFormat::q8_0:  // scale, 32 x 8 bits
      return 2 + 32;
    case WeightFormat::q4_k:  // scale, offset, 8 x (6 + 6) bits, 256 x 4 bits
      return 4 + 12 + 128;
    case WeightFormat::q5_k:  // the same with 256 x 1 bit in between
      return 4 + 12 + 32 + 128;
    case WeightFormat::q6_k:  // 256 x 4 bits, 256 x 2 bits, 16 x 8 bits, scale
      return 128 + 64 + 16 + 2;
    case WeightFormat::uint4_groups:
      return 16;
    case WeightFormat::uint8_groups:
    case WeightFormat::int8_groups:
    case WeightFormat::fp8_groups:
      return 32;
  }
  return 0;
}

// Bytes of a row of `cols` numbers, a multiple of block_elements.
constexpr std::int64_t weight_row_bytes(WeightFormat format, std::int64_t cols) {
  return cols / block_elements(format) * block_bytes(format);
}

}  // namespace octet
