// The two products of decode attention, q · k and weights · v, in registers of sixteen floats, over tiles of 16
// slots: a register is a dim of 16 slots, or 16 dims of a slot, converted once for all heads of a tile.
#pragma once

#include "kernels/isa/decode_chunk.h"
#include "kernels/isa/vec_avx512.h"

namespace octet::kernels {
namespace {

// Registers that one loop takes before it asks for as many bytes of the next chunk.
inline constexpr int kSteps = 8;

// Sums that a head has, so that there are enough to hide the latency of a multiply-add.
template <int H>
inline constexpr int kChains = H >= 6   ? 1
                               : H >= 3 ? 2
                                        : 4;

// scores[h * kChunk + p] = q[h] · k[p] / kRawFactor, for H heads and every position of the chunk's tiles.
template <Dtype D, int H>
void score_chunk(const Chunk& chunk, const float* q, int head_dim, float* scores) {
  constexpr int chains = kChains<H>;
  constexpr std::int64_t step_bytes = 16 * dtype_bytes(D);
  for (int t = 0; t < chunk.num_tiles; ++t) {
    const std::byte* k = chunk.tiles[t].k;
    const std::int64_t ahead = chunk.ahead[t].k - k;
    VecF16 sums[chains][H];
    for (auto& chain : sums)
      for (VecF16& sum : chain) sum = VecF16::zero();
    for (int d = 0; d < head_dim; d += kSteps) {
      prefetch<kSteps* static_cast<int>(step_bytes)>(k + ahead);
#pragma GCC unroll 8
      for (int i = 0; i < kSteps; ++i, k += step_bytes) {
        const VecF16 keys = VecF16::load_raw<D>(k);
        for (int h = 0; h < H; ++h) {
          VecF16& sum = sums[i % chains][h];
          sum = fma(VecF16::broadcast(q[h * head_dim + d + i]), keys, sum);
        }
      }
    }
    for (int h = 0; h < H; ++h) {
      for (int c = 1; c < chains; ++c) sums[0][h] = sums[0][h] + sums[c][h];
      sums[0][h].store(scores + h * kChunk + t * 16);
    }
  }
}

// out[h][dims] += sum over the chunk's positions of weights[h][p] * v[p], for H heads and G * 16 dims.
template <Dtype D, int H, int G>
OCTET_INLINE void add_value_dims(const Chunk& chunk, const float* weights, int head_dim, int dim, float* out) {
  constexpr int slots = kSteps / G;
  constexpr std::int64_t size = dtype_bytes(D);
  constexpr int block_bytes = 16 * kSteps * static_cast<int>(size);
  const std::int64_t row = head_dim * size;
  VecF16 sums[H][G];
  for (int h = 0; h < H; ++h)
    for (int g = 0; g < G; ++g) sums[h][g] = VecF16::load(out + h * head_dim + dim + g * 16);
  const auto add = [&](int g, const std::byte* v, const float* weight) __attribute__((always_inline)) {
    const VecF16 values = VecF16::load_raw<D>(v + g * 16 * size);
    for (int h = 0; h < H; ++h) sums[h][g] = fma(VecF16::broadcast(weight[h * kChunk]), values, sums[h][g]);
  };
  for (int t = 0; t < chunk.num_tiles; ++t) {
    int p = t == 0 ? chunk.begin : 0;
    const int last = chunk.end - t * chunk.tile < chunk.tile ? chunk.end - t * chunk.tile : chunk.tile;
    const std::byte* v = chunk.tiles[t].v + p * row + dim * size;
    const float* weight = weights + t * chunk.tile + p;
    // The blocks of steps of all passes over the dims share the next tile's bytes among them.
    const std::byte* ahead = chunk.ahead[t].v + dim / (16 * G) * (chunk.tile / slots) * block_bytes;
    for (; p + slots <= last; p += slots, v += slots * row, weight += slots) {
      prefetch<block_bytes>(ahead);
      ahead += block_bytes;
#pragma GCC unroll 8
      for (int i = 0; i < kSteps; ++i) add(i % G, v + i / G * row, weight + i / G);
    }
    for (; p < last; ++p, v += row, ++weight)
      for (int g = 0; g < G; ++g) add(g, v, weight);
  }
  for (int h = 0; h < H; ++h)
    for (int g = 0; g < G; ++g) sums[h][g].store(out + h * head_dim + dim + g * 16);
}

template <Dtype D, int H>
void value_chunk(const Chunk& chunk, const float* weights, int head_dim, float* out) {
  constexpr int groups = kChains<H>;
  int dim = 0;
  for (; dim + groups * 16 <= head_dim; dim += groups * 16)
    add_value_dims<D, H, groups>(chunk, weights, head_dim, dim, out);
  if constexpr (groups > 1)
    for (; dim < head_dim; dim += 16) add_value_dims<D, H, 1>(chunk, weights, head_dim, dim, out);
}

template <Dtype D>
inline constexpr KeyProduct kKeyProduct<VecF16, 16, D>{
    .of_heads = {score_chunk<D, 1>, score_chunk<D, 2>, score_chunk<D, 3>, score_chunk<D, 4>, score_chunk<D, 5>,
                 score_chunk<D, 6>},
    .factor = raw_factor(D)};

template <Dtype D>
inline constexpr ValueProduct kValueProduct<VecF16, D>{
    .of_heads = {value_chunk<D, 1>, value_chunk<D, 2>, value_chunk<D, 3>, value_chunk<D, 4>, value_chunk<D, 5>,
                 value_chunk<D, 6>},
    .factor = raw_factor(D),
    .split = false};

}  // namespace
}  // namespace octet::kernels
