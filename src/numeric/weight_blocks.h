// The block formats of quantised weights: the definition of truth for every kernel.
//
// A row of weights is cut into blocks of 32 or 256 numbers; a block holds small integers and the scales that
// turn them into numbers. Every number of a block is an integer times a scale of its 16 or 32 neighbours plus
// an offset of theirs; both products fit float's 24 bits, so a number is rounded once at most, and fma gives it
// exactly. Source: the layouts of ggml's block types (ggml-org/ggml, ggml-common.h), dequantised as the gguf
// package does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "numeric/float16.h"
#include "numeric/weight_format.h"

namespace octet {

namespace numeric_detail {

inline int byte_at(const std::byte* block, int index) { return std::to_integer<int>(block[index]); }

inline float half_at(const std::byte* block, int index) {
  float16 half;
  std::memcpy(&half.bits, block + index, sizeof(half.bits));
  return half.to_float();
}

// The 6-bit scale and offset of the 32 numbers `part` (0..7) of a q4_k or q5_k block; `packed` has 12 bytes.
inline int six_bit_scale(const std::byte* packed, int part) {
  return part < 4 ? byte_at(packed, part) & 63
                  : (byte_at(packed, part + 4) & 15) | ((byte_at(packed, part - 4) >> 6) << 4);
}
inline int six_bit_offset(const std::byte* packed, int part) {
  return part < 4 ? byte_at(packed, part + 4) & 63
                  : (byte_at(packed, part + 4) >> 4) | ((byte_at(packed, part) >> 6) << 4);
}

// Number i of a q4_k or q5_k block.
inline float super_block_number(const std::byte* block, int i, bool five_bits) {
  const int part = i / 32, l = i % 32;
  const std::byte* low = block + (five_bits ? 48 : 16);
  int code = (byte_at(low, 32 * (part / 2) + l) >> (4 * (part % 2))) & 15;
  if (five_bits) code |= ((byte_at(block + 16, l) >> part) & 1) << 4;
  const float scale = half_at(block, 0) * static_cast<float>(six_bit_scale(block + 4, part));
  const float offset = half_at(block, 2) * static_cast<float>(six_bit_offset(block + 4, part));
  return static_cast<float>(code) * scale - offset;
}

// Number i of a q6_k block.
inline float six_bit_number(const std::byte* block, int i) {
  const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
  const int low = byte_at(block, 64 * half + 32 * (quarter % 2) + l) >> (4 * (quarter / 2));
  const int high = byte_at(block, 128 + 32 * half + l) >> (2 * quarter);
  const int code = ((low & 15) | ((high & 3) << 4)) - 32;
  const auto scale = static_cast<std::int8_t>(byte_at(block, 192 + i / 16));
  return half_at(block, 208) * static_cast<float>(scale) * static_cast<float>(code);
}

// Number i of a block of 32 of four or five bits: low nibbles are the first 16 numbers, high ones the others.
inline int short_code(const std::byte* nibbles, int i) {
  return (byte_at(nibbles, i % 16) >> (i / 16 * 4)) & 15;
}
inline int fifth_bit(const std::byte* bits, int i) { return ((byte_at(bits, i / 8) >> (i % 8)) & 1) << 4; }

}  // namespace numeric_detail

// Number i of the block at `block`, which may stand at any alignment.
inline float block_number(WeightFormat format, const std::byte* block, int i) {
  using namespace numeric_detail;
  switch (format) {
    case WeightFormat::q4_0:
      return half_at(block, 0) * static_cast<float>(short_code(block + 2, i) - 8);
    case WeightFormat::q4_1:
      return half_at(block, 0) * static_cast<float>(short_code(block + 4, i)) + half_at(block, 2);
    case WeightFormat::q5_0:
      return half_at(block, 0) * static_cast<float>((short_code(block + 6, i) | fifth_bit(block + 2, i)) - 16);
    case WeightFormat::q5_1:
      return half_at(block, 0) * static_cast<float>(short_code(block + 8, i) | fifth_bit(block + 4, i)) +
             half_at(block, 2);
    case WeightFormat::q8_0:
      return half_at(block, 0) * static_cast<float>(static_cast<std::int8_t>(byte_at(block, 2 + i)));
    case WeightFormat::q4_k:
      return super_block_number(block, i, false);
    case WeightFormat::q5_k:
      return super_block_number(block, i, true);
    case WeightFormat::q6_k:
      return six_bit_number(block, i);
    default:
      return 0.0f;  // no block: its scales stand elsewhere
  }
}

}  // namespace octet
