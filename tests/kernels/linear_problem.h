// A random linear layer for the kernels of every table: weights, activations and the outputs to write.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "kernels/reference.h"
#include "numeric/dtype.h"

namespace octet::kernels {

// The types that weights may have.
inline constexpr Dtype kWeightDtypes[] = {Dtype::float32, Dtype::float16, Dtype::bfloat16, Dtype::fp8_e4m3,
                                          Dtype::fp8_e5m2};

// What an output has before a kernel writes it.
inline constexpr float kCanary = 12345.0f;

struct LinearProblem {
  Dtype dtype;
  int rows, cols, num_tokens, row_begin, row_end;

  std::string description() const {
    return (testing::Message() << dtype_name(dtype) << " cols " << cols << " tokens " << num_tokens << " rows ["
                               << row_begin << ", " << row_end << ")")
        .GetString();
  }
};

struct LinearData {
  std::vector<std::byte> bytes;
  const std::byte* weight;  // in bytes
  int x_stride, y_stride;
  std::vector<float> x, y;

  LinearData(const LinearProblem& p, std::mt19937& random) : x_stride(p.cols + 3), y_stride(p.rows + 5) {
    std::normal_distribution<float> normal;
    const std::size_t count = static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.cols);
    // Weights as they may lie in a file: off by two bytes (one for FP8), nothing readable after them.
    const std::size_t offset = is_fp8(p.dtype) ? 1 : 2;
    bytes.resize(offset + count * dtype_bytes(p.dtype));
    for (std::size_t i = 0; i < count; ++i)
      reference::set_element(bytes.data() + offset, p.dtype, static_cast<std::int64_t>(i), normal(random));
    weight = bytes.data() + offset;
    x.resize(static_cast<std::size_t>(p.num_tokens * x_stride));
    for (float& value : x) value = normal(random);
    y.assign(static_cast<std::size_t>(p.num_tokens * y_stride), kCanary);
  }
};

}  // namespace octet::kernels
