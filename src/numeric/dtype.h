// The element types that files, weights and caches are made of, with their sizes and names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace octet {

// Enumerators are spelled as configs spell them. The per_token_head ones are for caches alone: one byte a
// number, and each token's key or value of a KV head has a scale of its own (numeric/per_token_head.h).
enum class Dtype : std::uint8_t {
  float32,
  float16,
  bfloat16,
  fp8_e4m3,
  fp8_e5m2,
  int8_per_token_head,
  int8_hadamard_per_token_head,
  fp8_per_token_head,
};

// The type that a cached key or value is stored in.
using KvDtype = Dtype;

// Bytes of one element, scales apart.
constexpr std::size_t dtype_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32:
      return 4;
    case Dtype::float16:
    case Dtype::bfloat16:
      return 2;
    case Dtype::fp8_e4m3:
    case Dtype::fp8_e5m2:
    case Dtype::int8_per_token_head:
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      return 1;
  }
  return 0;
}

constexpr bool is_fp8(Dtype dtype) { return dtype == Dtype::fp8_e4m3 || dtype == Dtype::fp8_e5m2; }

// Whether a cache of this dtype divides by the scale of its layer and KV head before it stores.
constexpr bool takes_scale(Dtype dtype) { return is_fp8(dtype); }

// Whether every vector that is stored has a scale of its own beside it.
constexpr bool is_per_token_head(Dtype dtype) {
  return dtype == Dtype::int8_per_token_head || dtype == Dtype::int8_hadamard_per_token_head ||
         dtype == Dtype::fp8_per_token_head;
}

// Whether keys are turned by a Walsh-Hadamard transform before they are stored (and queries before they meet
// them).
constexpr bool is_hadamard(Dtype dtype) { return dtype == Dtype::int8_hadamard_per_token_head; }

// The dtype that stands for the codes alone: fp8_e4m3, or for signed bytes int8_per_token_head; else itself.
constexpr Dtype code_dtype(Dtype dtype) {
  return dtype == Dtype::fp8_per_token_head             ? Dtype::fp8_e4m3
         : dtype == Dtype::int8_hadamard_per_token_head ? Dtype::int8_per_token_head
                                                        : dtype;
}

// Bytes of the scale that stands beside each vector.
constexpr std::size_t vector_scale_bytes(Dtype dtype) { return is_per_token_head(dtype) ? 2 : 0; }

// "float32", "float16", "bfloat16", "fp8_e4m3", …
constexpr std::string_view dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32:
      return "float32";
    case Dtype::float16:
      return "float16";
    case Dtype::bfloat16:
      return "bfloat16";
    case Dtype::fp8_e4m3:
      return "fp8_e4m3";
    case Dtype::fp8_e5m2:
      return "fp8_e5m2";
    case Dtype::int8_per_token_head:
      return "int8_per_token_head";
    case Dtype::int8_hadamard_per_token_head:
      return "int8_hadamard_per_token_head";
    case Dtype::fp8_per_token_head:
      return "fp8_per_token_head";
  }
  return "?";
}

}  // namespace octet
