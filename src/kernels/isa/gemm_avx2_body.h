// y = x W^T for many tokens, as a product of panels, where registers are 16 of eight floats.
//
// Sixteen rows of W become a panel of floats with rows in the lanes; a tile of six tokens by sixteen rows stays
// in registers, and each step of it does 12 multiply-adds for two loads and six broadcasts. gemv, which has
// columns in the lanes, does 12 for seven loads and four conversions, and its four rows of 4,096 columns fill
// the first-level cache (docs/benchmarks.md has both).
//
// The bits are gemv's. That sums the columns c = l (mod 8) in lane l, one after the other, and adds the lanes
// at the end: here the columns of a residue follow one another, each residue has its sums, and they are added
// in the order in which reduce_add adds lanes. So a panel is cut into eight, which also makes its pieces small
// enough for the first-level cache, by depths of kMostDepth.
//
//   packed x  [chunk][residue][token][depth]    a chunk is eight times depth columns
//   panel     [chunk][residue][depth][16 rows]  and a line between residues, see panel_stride
//   sums      [residue][token][16 rows]
#pragma once

#include "kernels/gemm.h"
#include "kernels/isa/integers.h"
#include "kernels/isa/quantized_weights_body.h"

namespace octet::kernels {
namespace {

inline constexpr int kPanelRows = 16, kResidues = 8, kTileOfTokens = 6;
// A panel's piece of 16 KiB, and six tokens' of 6.
inline constexpr int kMostDepth = 256;

// How the columns are cut.
struct DepthChunks {
  int steps;  // eight columns each
  int depth;  // steps of every chunk but the last, which may have fewer

  explicit DepthChunks(int cols) : steps((cols + kResidues - 1) / kResidues) {
    const int chunks = (steps + kMostDepth - 1) / kMostDepth;
    depth = (steps + chunks - 1) / chunks;
  }
  // use(first step, depth) of each chunk.
  template <class Use>
  OCTET_INLINE void for_each(const Use& use) const {
    for (int step = 0; step < steps; step += depth) use(step, smaller(depth, steps - step));
  }
};

// Floats from one residue of a panel to the next: a line more than it takes, or all of a chunk's would meet in
// the same sets of a cache.
constexpr std::int64_t panel_stride(int depth) { return std::int64_t{depth + 1} * kPanelRows; }
// Of a whole panel: as many lines more as it may have chunks.
constexpr std::int64_t panel_floats(int cols) {
  const int steps = (cols + kResidues - 1) / kResidues;
  return std::int64_t{steps + steps / kMostDepth + 1} * kResidues * kPanelRows;
}

// Rows of eight 32-bit lanes become columns.
OCTET_INLINE void transpose8(__m256i (&r)[8]) {
  __m256i a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
    b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

void pack_activations(const PackActivationsArgs& args) noexcept {
  const DepthChunks chunks(args.cols);
  chunks.for_each([&](int first, int depth) {
    float* out = args.packed + static_cast<std::int64_t>(first) * kResidues * args.num_tokens +
                 static_cast<std::int64_t>(args.token) * depth;
    const std::int64_t stride = static_cast<std::int64_t>(args.num_tokens) * depth;
    for (int step = 0; step < depth; step += 8) {
      const int steps = smaller(8, depth - step);
      __m256i r[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        const int col = (first + step + i) * kResidues, left = args.cols - col;
        r[i] = i >= steps || left <= 0
                   ? _mm256_setzero_si256()
                   : _mm256_castps_si256(
                         (left >= 8 ? VecF8::load(args.x + col) : VecF8::load_first(args.x + col, left)).v);
      }
      transpose8(r);
#pragma GCC unroll 8
      for (int residue = 0; residue < 8; ++residue) {
        const VecF8 values{_mm256_castsi256_ps(r[residue])};
        if (steps == 8)
          values.store(out + residue * stride + step);
        else
          values.store_first(out + residue * stride + step, steps);
      }
    }
  });
}

// Eight rows of W, or fewer, from `col` on as eight lanes of a panel, `stride` floats from residue to residue:
// a step's columns, or with two_steps, two's, of which all numbers are there.
template <Dtype D>
OCTET_INLINE void pack_step(const std::byte* w, std::int64_t row_bytes, int rows, int left, float* out,
                            std::int64_t stride) {
  __m256i r[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const std::byte* from = w + i * row_bytes;
    if (i >= rows)
      r[i] = _mm256_setzero_si256();
    else if (left >= 8)
      r[i] = _mm256_castps_si256(VecF8::load_exact<D>(from).v);
    else
      r[i] = _mm256_castps_si256(load_exact_first<VecF8, D>(from, left).v);
  }
  transpose8(r);
#pragma GCC unroll 8
  for (int residue = 0; residue < 8; ++residue)
    VecF8{_mm256_castsi256_ps(r[residue])}.store(out + residue * stride);
}
// Two steps of bfloat16: pairs of neighbours are moved as one.
OCTET_INLINE void pack_two_steps(const std::byte* w, std::int64_t row_bytes, float* out, std::int64_t stride) {
  __m256i r[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = load_bytes32(w + i * row_bytes);
  transpose8(r);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    float* to = out + i % 4 * 2 * stride + i / 4 * kPanelRows;
    VecF8{_mm256_castsi256_ps(_mm256_slli_epi32(r[i], 16))}.store(to);
    masked({_mm256_castsi256_ps(r[i])}, 0xffff0000u).store(to + stride);
  }
}

// Sixteen rows of W, or fewer, as a panel; the lanes of rows that are not there become zeros.
template <Dtype D>
void pack_rows(const std::byte* w, std::int64_t row_bytes, int rows, int cols, float* panel) {
  constexpr std::int64_t size = dtype_bytes(D);
  DepthChunks(cols).for_each([&](int first, int depth) {
    const std::int64_t stride = panel_stride(depth);
    for (int step = 0, steps; step < depth; step += steps) {
      const int col = (first + step) * kResidues, left = cols - col;
      const std::byte* from = w + col * size;
      float* out = panel + step * kPanelRows;
      steps = 1;
      if constexpr (D == Dtype::bfloat16) {
        if (rows == kPanelRows && step + 2 <= depth && left >= 2 * kResidues) {
          pack_two_steps(from, row_bytes, out, stride);
          pack_two_steps(from + 8 * row_bytes, row_bytes, out + 8, stride);
          steps = 2;
          continue;
        }
      }
      pack_step<D>(from, row_bytes, rows, left, out, stride);
      pack_step<D>(from + 8 * row_bytes, row_bytes, rows - 8, left, out + 8, stride);
    }
    panel += kResidues * stride;
  });
}

// Where a tile's sums begin and go: [token][16], a token's being kPanelRows floats behind the one before, but
// in `out`.
struct PanelSums {
  const float* start;      // or null: zeros
  const float* joined[3];  // what is added to them in the end, one after the other
  int num_joined;
  float* out;
  std::int64_t out_stride;

  OCTET_INLINE void skip(int tokens) {
    const int floats = tokens * kPanelRows;
    if (start != nullptr) start += floats;
    for (int i = 0; i < num_joined; ++i) joined[i] += floats;
    out += tokens * out_stride;
  }
};

// out [M, 16] = joined + (start + a [M, depth] b [depth, 16]), a's rows `depth` floats apart; the next tile's a
// lies right behind.
template <int M>
void panel_tile(const float* a, const float* b, int depth, const PanelSums& sums) {
  VecF8 sum[M][2];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    _mm_prefetch(reinterpret_cast<const char*>(sums.out + m * sums.out_stride), _MM_HINT_T0);
#pragma GCC unroll 2
    for (int n = 0; n < 2; ++n)
      sum[m][n] =
          sums.start == nullptr ? VecF8::zero() : VecF8::load(sums.start + m * kPanelRows + n * VecF8::width);
  }
  const auto* ahead = reinterpret_cast<const char*>(a + std::int64_t{M} * depth);
  for (int k = 0; k < depth; ++k, ++a, b += kPanelRows, ahead += M * sizeof(float)) {
    _mm_prefetch(ahead, _MM_HINT_T0);
    const VecF8 b0 = VecF8::load(b).in_register(), b1 = VecF8::load(b + VecF8::width).in_register();
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const VecF8 x = VecF8::broadcast(a[static_cast<std::int64_t>(m) * depth]);
      sum[m][0] = fma(b0, x, sum[m][0]);
      sum[m][1] = fma(b1, x, sum[m][1]);
    }
  }
  for (int i = 0; i < sums.num_joined; ++i)
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
      for (int n = 0; n < 2; ++n)
        sum[m][n] = VecF8::load(sums.joined[i] + m * kPanelRows + n * VecF8::width) + sum[m][n];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int n = 0; n < 2; ++n) sum[m][n].store(sums.out + m * sums.out_stride + n * VecF8::width);
}

// Bytes that are wanted after this panel, asked for a few at a time.
struct BytesAhead {
  const std::byte* next;
  int step;

  OCTET_INLINE void prefetch() {
    for (int i = 0; i < step; i += 64) _mm_prefetch(reinterpret_cast<const char*>(next + i), _MM_HINT_T1);
    next += step;
  }
};

// One residue's piece of the panel for all tokens, in tiles of about the same size.
inline void multiply_piece(const float* a, const float* b, int depth, int num_tokens, PanelSums sums,
                           BytesAhead& ahead) {
  static constexpr decltype(&panel_tile<1>) kTiles[kTileOfTokens] = {
      panel_tile<1>, panel_tile<2>, panel_tile<3>, panel_tile<4>, panel_tile<5>, panel_tile<6>};
  for (int left = num_tokens; left > 0;) {
    const int tiles = (left + kTileOfTokens - 1) / kTileOfTokens;
    const int m = (left + tiles - 1) / tiles;
    ahead.prefetch();
    kTiles[m - 1](a, b, depth, sums);
    a += static_cast<std::int64_t>(m) * depth;
    sums.skip(m);
    left -= m;
  }
}

// y[m * y_stride + r] for r in [0, rows) and all tokens, of a panel. `sums`: num_tokens * 128 floats.
inline void multiply_panel(const float* packed, const float* panel, int cols, int num_tokens, int rows,
                           float* sums, float* y, std::int64_t y_stride, BytesAhead ahead) {
  // reduce_add's order: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
  constexpr int kOrder[kResidues] = {0, 4, 2, 6, 1, 5, 3, 7};
  const auto of = [&](int residue) {
    return sums + static_cast<std::int64_t>(residue) * num_tokens * kPanelRows;
  };
  const DepthChunks chunks(cols);
  chunks.for_each([&](int first, int depth) {
    for (const int residue : kOrder) {
      PanelSums at{first > 0 ? of(residue) : nullptr, {}, 0, of(residue), kPanelRows};
      if (first + depth == chunks.steps) {
        const auto join = [&](int other) {
          at.joined[at.num_joined++] = of(other);
          at.out = of(other);
        };
        if (residue >= 6) join(residue - 4);
        if (residue == 4 || residue == 6) join(0);
        if (residue == 5 || residue == 7) join(1);
        if (residue == 7) join(0);
        if (residue == 7 && rows == kPanelRows) {
          at.out = y;
          at.out_stride = y_stride;
        }
      }
      multiply_piece(packed + static_cast<std::int64_t>(residue) * num_tokens * depth,
                     panel + residue * panel_stride(depth), depth, num_tokens, at, ahead);
    }
    packed += static_cast<std::int64_t>(kResidues) * num_tokens * depth;
    panel += kResidues * panel_stride(depth);
  });
  if (rows < kPanelRows)
    for (int m = 0; m < num_tokens; ++m)
      __builtin_memcpy(y + m * y_stride, sums + m * kPanelRows, rows * sizeof(float));
}

std::size_t gemm_scratch_floats(int num_tokens, int cols) noexcept {
  return static_cast<std::size_t>(panel_floats(cols)) +
         static_cast<std::size_t>(num_tokens) * kResidues * kPanelRows +
         static_cast<std::size_t>(cols) * kPanelRows;  // of rows that are dequantised
}

// pack(row, rows, panel): rows [row, row + rows), sixteen at most. The rows' bytes lie one behind the other,
// row 0's at `w`.
template <class Args, class Pack>
OCTET_INLINE void for_each_panel(const Args& args, int cols, const std::byte* w, std::int64_t row_bytes,
                                 const Pack& pack) {
  if (args.num_tokens == 0) return;
  float* panel = args.scratch;
  float* sums = panel + panel_floats(cols);
  const DepthChunks chunks(cols);
  const int tiles = (chunks.steps + chunks.depth - 1) / chunks.depth * kResidues *
                    ((args.num_tokens + kTileOfTokens - 1) / kTileOfTokens);
  for (int row = args.row_begin; row < args.row_end; row += kPanelRows) {
    const int rows = smaller(kPanelRows, args.row_end - row);
    pack(row, rows, panel);
    const BytesAhead ahead{w + (row + kPanelRows) * row_bytes,
                           static_cast<int>((kPanelRows * row_bytes + tiles - 1) / tiles)};
    multiply_panel(args.packed, panel, cols, args.num_tokens, rows, sums, args.y + row, args.y_stride, ahead);
  }
}

template <Dtype D>
void gemm_from(const GemmArgs& args) {
  const std::int64_t row_bytes = args.cols * std::int64_t{dtype_bytes(D)};
  const auto* w = static_cast<const std::byte*>(args.weight);
  for_each_panel(args, args.cols, w, row_bytes, [&](int row, int rows, float* panel) {
    pack_rows<D>(w + row * row_bytes, row_bytes, rows, args.cols, panel);
  });
}

void gemm(const GemmArgs& args) noexcept {
  switch (args.weight_dtype) {
    case Dtype::float32:
      return gemm_from<Dtype::float32>(args);
    case Dtype::float16:
      return gemm_from<Dtype::float16>(args);
    case Dtype::bfloat16:
      return gemm_from<Dtype::bfloat16>(args);
    case Dtype::fp8_e4m3:
      return gemm_from<Dtype::fp8_e4m3>(args);
    case Dtype::fp8_e5m2:
      return gemm_from<Dtype::fp8_e5m2>(args);
    case Dtype::int8_per_token_head:
    case Dtype::int8_hadamard_per_token_head:
    case Dtype::fp8_per_token_head:
      return;  // of caches alone: no weight is stored so
  }
}

void gemm_quantized(const QuantizedGemmArgs& args) noexcept {
  const QuantizedMatrix& matrix = args.matrix;
  float* numbers =
      args.scratch + panel_floats(matrix.cols) + std::int64_t{args.num_tokens} * kResidues * kPanelRows;
  for_each_panel(args, matrix.cols, matrix.codes, weight_row_bytes(matrix.format, matrix.cols),
                 [&](int row, int rows, float* panel) {
                   dequantize<VecF8>({matrix, row, row + rows, numbers});
                   pack_rows<Dtype::float32>(reinterpret_cast<const std::byte*>(numbers),
                                             std::int64_t{matrix.cols} * 4, rows, matrix.cols, panel);
                 });
}

}  // namespace
}  // namespace octet::kernels
