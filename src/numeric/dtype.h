// The element types that files, weights and caches are made of, with their sizes and names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace octet {

// Enumerators are spelled as configs spell them.
enum class Dtype : std::uint8_t { float32, float16, bfloat16, fp8_e4m3, fp8_e5m2 };

// Bytes of one element.
constexpr std::size_t dtype_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32:
      return 4;
    case Dtype::float16:
    case Dtype::bfloat16:
      return 2;
    case Dtype::fp8_e4m3:
    case Dtype::fp8_e5m2:
      return 1;
  }
  return 0;
}

constexpr bool is_fp8(Dtype dtype) { return dtype == Dtype::fp8_e4m3 || dtype == Dtype::fp8_e5m2; }

// Whether a cache of this dtype divides by the scale of its layer and KV head before it stores.
constexpr bool takes_scale(Dtype dtype) { return is_fp8(dtype); }

// "float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2".
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
  }
  return "?";
}

// The type that a cached key or value is stored in.
using KvDtype = Dtype;

}  // namespace octet
