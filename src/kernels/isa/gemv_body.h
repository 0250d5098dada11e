// y = x W^T for few tokens, over any vector struct V: each weight is read from memory once.
//
// The work goes in tiles of R rows by M tokens, whose R * M accumulators, R weights and one activation fit
// the registers. With one token this is bound by memory: several rows at once give the chains of
// additions room. With more tokens than a tile takes, the tiles of one group of rows follow each other, so
// that the rows come from the first-level cache from the second tile on.
#pragma once

#include "kernels/isa/elementwise_body.h"

namespace octet::kernels {
namespace {

template <class V, Dtype D, int R, int M>
void gemv_tile(const GemvArgs& args, int row, int token) {
  constexpr std::int64_t size = dtype_bytes(D);
  const std::int64_t row_bytes = args.cols * size;
  const std::byte* w = static_cast<const std::byte*>(args.weight) + row * row_bytes;
  const float* x = args.x + token * args.x_stride;
  V sums[R][M];
  for (int r = 0; r < R; ++r)
    for (int m = 0; m < M; ++m) sums[r][m] = V::zero();

  // A row is too short a stream for the hardware to run ahead in, so each step asks for as many bytes of the
  // next R rows, which lie right behind, as it reads of these.
  constexpr int step_bytes = R * V::width * static_cast<int>(size);
  const std::byte* ahead = w + R * row_bytes;
  int c = 0;
  for (; c + V::width <= args.cols; c += V::width) {
    for (int i = 0; i < step_bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T0);
    ahead += step_bytes;
    V weights[R];
    for (int r = 0; r < R; ++r) weights[r] = V::template load_exact<D>(w + r * row_bytes + c * size);
    for (int m = 0; m < M; ++m) {
      const V activation = V::load(x + m * args.x_stride + c);
      for (int r = 0; r < R; ++r) sums[r][m] = fma(weights[r], activation, sums[r][m]);
    }
  }
  if (const int n = args.cols - c; n > 0) {
    for (int r = 0; r < R; ++r) {
      const V weights = load_exact_first<V, D>(w + r * row_bytes + c * size, n);
      for (int m = 0; m < M; ++m)
        sums[r][m] = fma(weights, V::load_first(x + m * args.x_stride + c, n), sums[r][m]);
    }
  }
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) args.y[(token + m) * args.y_stride + row + r] = sums[r][m].reduce_add();
}

// R rows for all tokens, in tiles of up to six of about the same size.
template <class V, Dtype D, int R>
void gemv_rows(const GemvArgs& args, int row) {
  constexpr int most = 6;
  for (int token = 0; token < args.num_tokens;) {
    const int left = args.num_tokens - token;
    const int tiles = (left + most - 1) / most;
    const int m = (left + tiles - 1) / tiles;
    switch (m) {
      case 1:
        gemv_tile<V, D, R, 1>(args, row, token);
        break;
      case 2:
        gemv_tile<V, D, R, 2>(args, row, token);
        break;
      case 3:
        gemv_tile<V, D, R, 3>(args, row, token);
        break;
      case 4:
        gemv_tile<V, D, R, 4>(args, row, token);
        break;
      case 5:
        gemv_tile<V, D, R, 5>(args, row, token);
        break;
      default:
        gemv_tile<V, D, R, 6>(args, row, token);
        break;
    }
    token += m;
  }
}

template <class V, Dtype D>
void gemv_from(const GemvArgs& args) {
  int row = args.row_begin;
  if (args.num_tokens == 1)
    for (; row + 4 <= args.row_end; row += 4) gemv_tile<V, D, 4, 1>(args, row, 0);
  else if (args.num_tokens <= 3 || V::width == 16)  // 4 rows: 12 of 16 registers, or 24 of 32
    for (; row + 4 <= args.row_end; row += 4) gemv_rows<V, D, 4>(args, row);
  else
    for (; row + 2 <= args.row_end; row += 2) gemv_rows<V, D, 2>(args, row);
  for (; row < args.row_end; ++row) gemv_rows<V, D, 1>(args, row);
}

template <class V>
void gemv(const GemvArgs& args) noexcept {
  switch (args.weight_dtype) {
    case Dtype::float32:
      return gemv_from<V, Dtype::float32>(args);
    case Dtype::float16:
      return gemv_from<V, Dtype::float16>(args);
    case Dtype::bfloat16:
      return gemv_from<V, Dtype::bfloat16>(args);
    case Dtype::fp8_e4m3:
      return gemv_from<V, Dtype::fp8_e4m3>(args);
    case Dtype::fp8_e5m2:
      return gemv_from<V, Dtype::fp8_e5m2>(args);
  }
}

}  // namespace
}  // namespace octet::kernels
