// y = x W^T, over any vector struct V, for one token and for thousands: each weight is read from memory once.
//
// The work goes in tiles of R rows by M tokens, whose R * M accumulators stay in registers. Every y[m, r] is
// summed along the columns in V::width lanes, and the lanes are added in one order, whatever the tile: a
// token's result is the same bits alone and among any number of others.
//
// With one token this is bound by memory: several rows at once give the chains of additions room. With more,
// the rows of a tile stay in the first-level cache, are converted in registers again for every tile of tokens,
// and meet a block of tokens that stays in the second-level cache. Then the multiply-adds are the limit: a step
// of 4 x 6 (or 4 x 3, of 16 registers) does 24 of them for 10 loads and 4 conversions. Rows that are converted
// to float32 once, as a GEMM library wants them, take twice the room in the caches, and that costs more than
// the conversions (measured on two Zen 4 cores, 512 tokens by 1536 columns: 153 GFLOP/s so, 205 this way).
#pragma once

#include "kernels/isa/elementwise_body.h"

namespace octet::kernels {
namespace {

// A tile's rows, and the most tokens that it takes.
inline constexpr int kGemvRows = 4;
template <class V>
inline constexpr int kGemvTokens = V::width == 16 ? 6 : 3;

// Where a tile begins: `w` [R, cols] of type D in rows of row_bytes, x [M, cols], y[m * y_stride + r].
struct GemvTile {
  const std::byte* w;
  std::int64_t row_bytes;
  const float* x;
  std::int64_t x_stride;
  float* y;
  std::int64_t y_stride;
  int cols;
};

template <class V, Dtype D, int R, int M>
void gemv_tile(const GemvTile& tile) {
  constexpr std::int64_t size = dtype_bytes(D);
  V sums[R][M];  // all loops over them are unrolled, or they would be written to memory
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sums[r][m] = V::zero();
  const auto add_step = [&](const auto& weight, const auto& activation) __attribute__((always_inline)) {
    // The fewer of the two stay in registers while the others pass.
    if constexpr (R <= M) {
      V weights[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) weights[r] = weight(r).in_register();
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const V x = activation(m).in_register();
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) sums[r][m] = fma(weights[r], x, sums[r][m]);
      }
    } else {
      V x[M];
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) x[m] = activation(m).in_register();
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const V w = weight(r).in_register();
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) sums[r][m] = fma(w, x[m], sums[r][m]);
      }
    }
  };

  // A row is too short a stream for the hardware to run ahead in, so each step asks for as many bytes of the
  // tile after the next, which lies right behind it, as it reads of this one.
  constexpr int step_bytes = R * V::width * static_cast<int>(size);
  const std::byte* ahead = tile.w + 2 * R * tile.row_bytes;
  int c = 0;
  for (; c + V::width <= tile.cols; c += V::width) {
    for (int i = 0; i < step_bytes; i += 64)
      _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T0);
    ahead += step_bytes;
    add_step([&](int r) { return V::template load_exact<D>(tile.w + r * tile.row_bytes + c * size); },
             [&](int m) { return V::load(tile.x + m * tile.x_stride + c); });
  }
  if (const int n = tile.cols - c; n > 0)
    add_step([&](int r) { return load_exact_first<V, D>(tile.w + r * tile.row_bytes + c * size, n); },
             [&](int m) { return V::load_first(tile.x + m * tile.x_stride + c, n); });

#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    float* y = tile.y + m * tile.y_stride;
    if constexpr (R == 4)
      _mm_storeu_ps(y, V::reduce_add4(sums[0][m], sums[1][m], sums[2][m], sums[3][m]));
    else
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) y[r] = sums[r][m].reduce_add();
  }
}

// R rows for `num_tokens` tokens, in tiles of about the same size.
template <class V, Dtype D, int R>
void gemv_rows(GemvTile tile, int num_tokens) {
  constexpr int most = kGemvTokens<V>;
  for (int left = num_tokens; left > 0;) {
    const int tiles = (left + most - 1) / most;
    const int m = (left + tiles - 1) / tiles;
    switch (m) {
      case 1:
        gemv_tile<V, D, R, 1>(tile);
        break;
      case 2:
        gemv_tile<V, D, R, 2>(tile);
        break;
      case 3:
        gemv_tile<V, D, R, 3>(tile);
        break;
      default:
        if constexpr (most > 3) {
          if (m == 4)
            gemv_tile<V, D, R, 4>(tile);
          else if (m == 5)
            gemv_tile<V, D, R, 5>(tile);
          else
            gemv_tile<V, D, R, 6>(tile);
        }
        break;
    }
    tile.x += m * tile.x_stride;
    tile.y += m * tile.y_stride;
    left -= m;
  }
}

// `rows` rows for `num_tokens` tokens, rows by rows.
template <class V, Dtype D>
void gemv_block(GemvTile tile, int rows, int num_tokens) {
  for (; rows >= kGemvRows; rows -= kGemvRows) {
    gemv_rows<V, D, kGemvRows>(tile, num_tokens);
    tile.w += kGemvRows * tile.row_bytes;
    tile.y += kGemvRows;
  }
  for (; rows > 0; --rows) {
    gemv_rows<V, D, 1>(tile, num_tokens);
    tile.w += tile.row_bytes;
    tile.y += 1;
  }
}

template <class V, Dtype D>
void gemv_from(const GemvArgs& args) {
  constexpr std::int64_t size = dtype_bytes(D);
  const std::int64_t row_bytes = args.cols * size;
  gemv_block<V, D>({static_cast<const std::byte*>(args.weight) + args.row_begin * row_bytes, row_bytes, args.x,
                    args.x_stride, args.y + args.row_begin, args.y_stride, args.cols},
                   args.row_end - args.row_begin, args.num_tokens);
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
    case Dtype::int8_per_token_head:
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      return;  // of caches alone: no weight is stored so
  }
}

}  // namespace
}  // namespace octet::kernels
