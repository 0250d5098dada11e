// y = x W^T of bfloat16 weights and bfloat16 activations, in vdpbf16ps: each takes twice the products of a
// float32 multiply-add. The shape of gemv_body.h, which see: tiles of R rows by M tokens, and sums of one order
// whatever the tile, so that a token's result is the same bits alone and among any number of others.
//
// vdpbf16ps adds the two products of a lane to the sum with one rounding each, and takes denormal numbers as
// zeros. Source: Intel's Software Developer's Manual, VDPBF16PS.
#pragma once

#include "kernels/isa/vec_avx512.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {
namespace {

inline constexpr int kBf16Rows = 4;
inline constexpr int kBf16Tokens = 6;
inline constexpr int kBf16Step = 32;  // columns

OCTET_INLINE __m512bh load_bf16(const std::uint16_t* p) {
  __m512i bits = _mm512_loadu_si512(p);
  return reinterpret_cast<__m512bh&>(bits);
}
// The first n (1..31) and zeros; reads no byte beyond them.
OCTET_INLINE __m512bh load_bf16_first(const std::uint16_t* p, int n) {
  __m512i bits = _mm512_maskz_loadu_epi16((1u << n) - 1u, p);
  return reinterpret_cast<__m512bh&>(bits);
}

// Sums of four registers side by side: lane 4 i + r holds a part of the sum of register r.
OCTET_INLINE __m512 fold4(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const auto pd = [](__m512 x) __attribute__((always_inline)) { return _mm512_castps_pd(x); };
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(pd(ab), pd(cd))),
                       _mm512_castpd_ps(_mm512_unpackhi_pd(pd(ab), pd(cd))));
}
// Adds the four quarters: (0 + 2) + (1 + 3).
OCTET_INLINE __m128 add_quarters(__m512 x) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
// The same for four registers at once: quarter i is the result of p[i].
OCTET_INLINE __m512 add_quarters4(const __m512 (&p)[4]) {
  const __m512 low =
      _mm512_add_ps(_mm512_shuffle_f32x4(p[0], p[1], 0x44), _mm512_shuffle_f32x4(p[0], p[1], 0xee));
  const __m512 high =
      _mm512_add_ps(_mm512_shuffle_f32x4(p[2], p[3], 0x44), _mm512_shuffle_f32x4(p[2], p[3], 0xee));
  return _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

// w [R, cols], x [M, x_stride], y[m * y_stride + r].
struct Bf16Tile {
  const std::uint16_t* w;
  const std::uint16_t* x;
  std::int64_t x_stride;
  float* y;
  std::int64_t y_stride;
  int cols;
};

template <int R, int M>
void gemv_bf16_tile(const Bf16Tile& tile) {
  __m512 sums[R][M];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sums[r][m] = _mm512_setzero_ps();
  const auto add_step = [&](const auto& weight, const auto& activation) __attribute__((always_inline)) {
    __m512bh weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) weights[r] = weight(r);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const __m512bh x = activation(m);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sums[r][m] = _mm512_dpbf16_ps(sums[r][m], weights[r], x);
    }
  };

  // As gemv_tile does: the tile after the next lies right behind it.
  const std::uint16_t* ahead = tile.w + 2 * static_cast<std::int64_t>(R) * tile.cols;
  int c = 0;
  for (; c + kBf16Step <= tile.cols; c += kBf16Step) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) _mm_prefetch(reinterpret_cast<const char*>(ahead + r * kBf16Step), _MM_HINT_T0);
    ahead += R * kBf16Step;
    add_step([&](int r) { return load_bf16(tile.w + static_cast<std::int64_t>(r) * tile.cols + c); },
             [&](int m) { return load_bf16(tile.x + m * tile.x_stride + c); });
  }
  if (const int n = tile.cols - c; n > 0)
    add_step([&](int r) { return load_bf16_first(tile.w + static_cast<std::int64_t>(r) * tile.cols + c, n); },
             [&](int m) { return load_bf16_first(tile.x + m * tile.x_stride + c, n); });

  __m512 folded[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    if constexpr (R == 4)
      folded[m] = fold4(sums[0][m], sums[1][m], sums[2][m], sums[3][m]);
    else
      folded[m] = fold4(sums[0][m], sums[0][m], sums[0][m], sums[0][m]);
  }
  const auto store = [&](int m, __m128 sum) __attribute__((always_inline)) {
    if constexpr (R == 4)
      _mm_storeu_ps(tile.y + m * tile.y_stride, sum);
    else
      tile.y[m * tile.y_stride] = _mm_cvtss_f32(sum);
  };
  int m = 0;
  if constexpr (M >= 4) {
    const __m512 four = add_quarters4({folded[0], folded[1], folded[2], folded[3]});
    store(0, _mm512_castps512_ps128(four));
    store(1, _mm512_extractf32x4_ps(four, 1));
    store(2, _mm512_extractf32x4_ps(four, 2));
    store(3, _mm512_extractf32x4_ps(four, 3));
    m = 4;
  }
#pragma GCC unroll 4
  for (; m < M; ++m) store(m, add_quarters(folded[m]));
}

// R rows for `num_tokens` tokens, in tiles of about the same size.
template <int R>
void gemv_bf16_rows(Bf16Tile tile, int num_tokens) {
  using Function = void (*)(const Bf16Tile&);
  static constexpr Function kTiles[kBf16Tokens] = {gemv_bf16_tile<R, 1>, gemv_bf16_tile<R, 2>,
                                                   gemv_bf16_tile<R, 3>, gemv_bf16_tile<R, 4>,
                                                   gemv_bf16_tile<R, 5>, gemv_bf16_tile<R, 6>};
  for (int left = num_tokens; left > 0;) {
    const int tiles = (left + kBf16Tokens - 1) / kBf16Tokens;
    const int m = (left + tiles - 1) / tiles;
    kTiles[m - 1](tile);
    tile.x += m * tile.x_stride;
    tile.y += m * tile.y_stride;
    left -= m;
  }
}

void gemv_bf16(const Bf16GemvArgs& args) noexcept {
  Bf16Tile tile{args.weight + static_cast<std::int64_t>(args.row_begin) * args.cols,
                args.x,
                args.x_stride,
                args.y + args.row_begin,
                args.y_stride,
                args.cols};
  int rows = args.row_end - args.row_begin;
  for (; rows >= kBf16Rows; rows -= kBf16Rows) {
    gemv_bf16_rows<kBf16Rows>(tile, args.num_tokens);
    tile.w += static_cast<std::int64_t>(kBf16Rows) * args.cols;
    tile.y += kBf16Rows;
  }
  for (; rows > 0; --rows) {
    gemv_bf16_rows<1>(tile, args.num_tokens);
    tile.w += args.cols;
    tile.y += 1;
  }
}

}  // namespace
}  // namespace octet::kernels
