// Attention in the quantised domain (kernels/quantized_attention.h, where the arithmetic is defined), over any
// vector struct V; prefill and decode alike.
//
// As prefill attention (prefill_body.h): rows are (query position, head of the group); a tile of cached
// positions is converted to float32 panels once and met by every tile of rows. FP8 numbers are exact in
// float32, and so are their products, so that the arithmetic of matrix multiplication is what is left to
// choose: multiply_tile adds in float32, multiply_hopper as the tensor core does. Scores are in units of log2.
//
// Panels hold values divided by kRawFactor of their type, a power of two: neither rounding nor alignment sees
// it.
#pragma once

#include "kernels/isa/hopper_tile.h"
#include "kernels/isa/prefill_panels.h"
#include "kernels/isa/softcap_body.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {
namespace {

// Rows of a tile where a call has few: a decoded token of a group of usual size.
template <class V>
inline constexpr int kFewRows = kTileRows<V> / 3;

// x as e4m3 holds it: rounded to nearest, ties to even, saturated; NaN stays NaN.
template <class V>
OCTET_INLINE V rounded_to_e4m3(V x) {
  x = max(V::broadcast(-448.0f), min(V::broadcast(448.0f), x));
  // Adding 1.5 * 2^20 times the power of two in x rounds to three bits behind the first; below 2^-6 to 2^-9.
  const V magic = max(masked(x, 0x7f800000u), V::broadcast(0x1p-6f)) * V::broadcast(0x1.8p+20f);
  return (x + magic) - magic;
}

// Sizes of the scratch's parts, in floats; each a multiple of 16, so that all are aligned as the whole.
template <class V, int kRows>
struct QuantizedSizes {
  static constexpr int kCols = kTileCols<V>;

  int rows;         // padded to whole tiles
  int out_columns;  // head_dim padded to whole panels
  int queries;      // [row tile][head_dim][kRows]
  int out;          // [row tile][panel][kRows][kCols]
  int keys;         // [panel][head_dim][kCols]
  int values;       // [panel][kQuantizedTile][kCols]
  int scores;       // [kRows][kQuantizedTile]
  int row_state;
  bool powers;  // queries, keys, values and scores a second time

  QuantizedSizes(AttentionMath math, int num_queries, int group, int head_dim)
      : rows(round_up(num_queries * group, kRows)),
        out_columns(round_up(head_dim, kCols)),
        queries(round_up(rows * head_dim, 16)),
        out(round_up(rows * out_columns, 16)),
        keys(kQuantizedTile * head_dim),
        values(kQuantizedTile * out_columns),
        scores(kRows * kQuantizedTile),
        row_state(round_up(rows, 16)),
        powers(is_hopper(math)) {}

  std::size_t total() const {
    const int operands = queries + keys + values + scores;
    return static_cast<std::size_t>(operands) * (powers ? 2 : 1) + static_cast<std::size_t>(out) +
           3 * static_cast<std::size_t>(row_state);
  }
};

template <class V, int kRows>
class QuantizedAttention {
 public:
  explicit QuantizedAttention(const QuantizedAttentionArgs& args)
      : args_(args),
        pages_(*args.kv, args.kv_head, args.block_table),
        sizes_(args.math, args.num_queries, args.group, args.kv->head_dim),
        head_dim_(args.kv->head_dim),
        num_rows_(args.num_queries * args.group),
        out_(args.scratch),
        max_(out_ + sizes_.out),
        sum_(max_ + sizes_.row_state),
        factor_(sum_ + sizes_.row_state),
        queries_(factor_ + sizes_.row_state),
        keys_(queries_ + sizes_.queries),
        values_(keys_ + sizes_.keys),
        scores_(values_ + sizes_.values),
        to_powers_(sizes_.queries + sizes_.keys + sizes_.values + sizes_.scores) {}

  void run() {
    pack_queries();
    for (int i = 0; i < sizes_.out; ++i) out_[i] = 0.0f;
    for (int row = 0; row < sizes_.rows; ++row) max_[row] = kMinusInfinity, sum_[row] = 0.0f;
    const int begin = first_seen(0);
    const int end = last_seen(num_rows_ - 1) + 1;
    for (int tile = (end - 1) / kQuantizedTile * kQuantizedTile; tile + kQuantizedTile > begin;
         tile -= kQuantizedTile)
      attend_to_tile(tile, larger(begin, tile), smaller(end, tile + kQuantizedTile), begin);
    write_out();
  }

 private:
  static constexpr int kCols = kTileCols<V>;
  static constexpr float kMinusInfinity = -__builtin_inff();
  static constexpr float kLn2 = 0.693147180559945309f;
  static constexpr Strides kQueryStrides{1, kRows};
  static constexpr Strides kScoreStrides{kQuantizedTile, 1};
  // Of the subnormals, as the operands hold them: of e4m3 divided by its raw factor, of e5m2, and of e4m3
  // itself.
  static constexpr float kLeastRaw = 0x1p-14f, kLeastE4m3 = 0x1p-6f;

  // Row r attends to positions [first_seen(r), last_seen(r)]; padding rows do as the last real one.
  int own_position(int row) const { return args_.first_position + smaller(row, num_rows_ - 1) / args_.group; }
  int last_seen(int row) const { return smaller(own_position(row), args_.end - 1); }
  int first_seen(int row) const {
    return args_.window > 0 ? larger(args_.begin, own_position(row) - args_.window + 1) : args_.begin;
  }

  HopperOperand operand(const float* values) const { return {values, values + to_powers_}; }

  // Queries in e4m3, and what their scores are to be multiplied by.
  void pack_queries() {
    const KvView& kv = pages_.kv();
    const float scale = args_.softmax_scale * kv.k_scale[args_.kv_head] * kLog2E * raw_factor(kv.k_dtype);
    for (int row = 0; row < sizes_.rows; ++row) {
      const int query = smaller(row, num_rows_ - 1) / args_.group;
      const int head = smaller(row, num_rows_ - 1) % args_.group;
      const float* from = args_.q + query * args_.q_stride + head * head_dim_;
      const float q_scale = args_.q_scale != nullptr ? args_.q_scale[head] : own_scale(from);
      factor_[row] = scale * q_scale;
      const V divisor = V::broadcast(q_scale > 0.0f ? q_scale : 1.0f);
      float* to = queries_ + row / kRows * kRows * head_dim_ + row % kRows;
      for (int d = 0; d < head_dim_; d += V::width) {
        float rounded[V::width];
        rounded_to_e4m3(V::load(from + d) / divisor).store(rounded);
        for (int i = 0; i < V::width; ++i) to[(d + i) * kRows] = rounded[i];
      }
    }
    if (sizes_.powers) fp8_powers<V>(queries_, sizes_.queries, kLeastE4m3, queries_ + to_powers_);
  }

  float own_scale(const float* q) const {
    V most = V::zero();
    for (int d = 0; d < head_dim_; d += V::width) most = max(masked(V::load(q + d), 0x7fffffffu), most);
    return most.reduce_max() / kQueryScaleDivisor;
  }

  // The tile's positions [begin, end) for all rows, while the next one comes nearer; the first is at
  // `all_begin`.
  void attend_to_tile(int tile, int begin, int end, int all_begin) {
    convert(tile, begin, end);
    const int row_tiles = sizes_.rows / kRows;
    const int ahead =
        (kQuantizedTile + row_tiles - 1) / row_tiles;  // positions to prefetch beside each row tile
    for (int i = 0; i < row_tiles; ++i) {
      const int next = tile - kQuantizedTile + i * ahead;
      prefetch_slots(pages_, larger(next, all_begin), smaller(next + ahead, tile));
      // What the tile's rows see of it together.
      const int first = larger(0, first_seen(i * kRows) - tile);
      const int last = smaller(kQuantizedTile, last_seen(i * kRows + kRows - 1) + 1 - tile);
      if (first < last) attend(i, tile, first, last);
    }
  }

  void convert(int tile, int begin, int end) {
    const KvView& kv = pages_.kv();
    if (kv.k_dtype == Dtype::fp8_e4m3)
      convert_keys<V, Dtype::fp8_e4m3>(pages_, begin, end, tile, keys_);
    else
      convert_keys<V, Dtype::fp8_e5m2>(pages_, begin, end, tile, keys_);
    if (kv.v_dtype == Dtype::fp8_e4m3)
      convert_values<V, Dtype::fp8_e4m3>(pages_, begin, end, tile, kQuantizedTile, values_);
    else
      convert_values<V, Dtype::fp8_e5m2>(pages_, begin, end, tile, kQuantizedTile, values_);
    if (!sizes_.powers) return;
    // Whole panels of keys, and of values every panel's rows.
    const int first_panel = (begin - tile) / kCols, panels_end = (end - tile + kCols - 1) / kCols;
    const int panel = kCols * head_dim_;
    fp8_powers<V>(keys_ + first_panel * panel, (panels_end - first_panel) * panel, kLeastRaw,
                  keys_ + first_panel * panel + to_powers_);
    for (int d = 0; d < head_dim_; d += kCols) {
      float* rows = values_ + d * kQuantizedTile + (begin - tile) * kCols;
      fp8_powers<V>(rows, (end - begin) * kCols, kLeastRaw, rows + to_powers_);
    }
  }

  // One row tile and slots [first, last) of the tile.
  void attend(int row_tile, int tile, int first, int last) {
    const float* queries = queries_ + row_tile * kRows * head_dim_;
    for (int slot = first / kCols * kCols; slot < last; slot += kCols)
      multiply_keys(queries, keys_ + slot * head_dim_, scores_ + slot);
    float keep[16];
    for (int r = 0; r < kRows; ++r)
      keep[r] = soften(row_tile * kRows + r, scores_ + r * kQuantizedTile, tile, first, last);
    for (int d = 0; d < head_dim_; d += kCols) {
      float* out = out_ + row_tile * kRows * sizes_.out_columns + d * kRows;
      if (head_dim_ - d > V::width)
        multiply_values<2>(values_ + d * kQuantizedTile, first, last, out, keep);
      else
        multiply_values<1>(values_ + d * kQuantizedTile, first, last, out, keep);
    }
  }

  void multiply_keys(const float* queries, const float* keys, float* scores) const {
    if (!is_hopper(args_.math)) {
      multiply_tile<V, 2, kQueryStrides, kQuantizedTile, false, kRows>(queries, keys, head_dim_, scores,
                                                                       nullptr);
      return;
    }
    for (int r = 0; r < kRows; r += kFewRows<V>)
      multiply_hopper<V, kFewRows<V>, 2, kQueryStrides, kQuantizedTile, HopperStart::zero>(
          operand(queries + r), operand(keys), 0, head_dim_, scores + r * kQuantizedTile, nullptr);
  }

  // out = keep * out + the weights of slots [first, last) times their values, one panel of these.
  template <int kVecs>
  void multiply_values(const float* values, int first, int last, float* out, const float* keep) const {
    if (!is_hopper(args_.math)) {
      multiply_tile<V, kVecs, kScoreStrides, kCols, true, kRows>(scores_ + first, values + first * kCols,
                                                                 last - first, out, keep);
      return;
    }
    for (int r = 0; r < kRows; r += kFewRows<V>) {
      const HopperOperand weights = operand(scores_ + r * kQuantizedTile);
      if (args_.math == AttentionMath::fp8_hopper)
        multiply_hopper<V, kFewRows<V>, kVecs, kScoreStrides, kCols, HopperStart::add_after>(
            weights, operand(values), first, last, out + r * kCols, keep + r);
      else
        multiply_hopper<V, kFewRows<V>, kVecs, kScoreStrides, kCols, HopperStart::accumulate>(
            weights, operand(values), first, last, out + r * kCols, keep + r);
    }
  }

  // The online softmax of one row: turns its products of slots [first, last) into weights in e4m3, and returns
  // what the row's sums of other tiles are to be multiplied by.
  float soften(int row, float* scores, int tile, int first, int last) {
    const int from = first / V::width * V::width;
    const int to = round_up(last, V::width);
    const int row_first = larger(first, first_seen(row) - tile);
    const int row_last = smaller(last, last_seen(row) + 1 - tile);
    float keep = 1.0f;
    if (row_first < row_last) {
      keep = weigh(row, scores, from, to, row_first, row_last);
    } else {  // sees nothing here
      for (int i = from; i < to; ++i) scores[i] = 0.0f;
    }
    if (sizes_.powers) fp8_powers<V>(scores + from, to - from, kLeastE4m3, scores + from + to_powers_);
    return keep;
  }

  // [from, to) are whole vectors around the row's own slots [first, last).
  float weigh(int row, float* scores, int from, int to, int first, int last) {
    const float before = max_[row];
    const bool capped = args_.softcap > 0.0f;
    if (capped) cap_scores<V>(scores + from, to - from, factor_[row], nullptr, args_.softcap * kLog2E);
    const V factor = V::broadcast(capped ? 1.0f : factor_[row]);
    V most = V::broadcast(before);
    for (int i = from; i < to; i += V::width) {
      const V score = (V::load(scores + i) * factor).keep(first - i, last - i, V::broadcast(kMinusInfinity));
      score.store(scores + i);
      most = max(most, score);
    }
    const float now = most.reduce_max();
    const V shift = V::broadcast(now);
    V sum = V::zero();
    for (int i = from; i < to; i += V::width) {
      const V weight = exp2_of_negative(V::load(scores + i) - shift);
      rounded_to_e4m3(weight * V::broadcast(kWeightFactor)).store(scores + i);
      sum = sum + weight;
    }
    const float keep = before == now ? 1.0f : exp2_of_negative(V::broadcast(before - now)).first_lane();
    max_[row] = now;
    sum_[row] = sum_[row] * keep + sum.reduce_add();
    return keep;
  }

  void write_out() {
    const KvView& kv = pages_.kv();
    const float scale = raw_factor(kv.v_dtype) / kWeightFactor;
    for (int row = 0; row < num_rows_; ++row) {
      float factor = scale;
      if (args_.sum != nullptr) {
        args_.max[row] = max_[row] * kLn2;
        args_.sum[row] = sum_[row];
      } else {
        factor = factor * kv.v_scale[args_.kv_head] / sum_[row];
      }
      const float* from = out_ + row / kRows * kRows * sizes_.out_columns + row % kRows * kCols;
      float* to = args_.out + row / args_.group * args_.out_stride + row % args_.group * head_dim_;
      for (int d = 0; d < head_dim_; d += V::width)
        (V::load(from + d / kCols * kCols * kRows + d % kCols) * V::broadcast(factor)).store(to + d);
    }
  }

  const QuantizedAttentionArgs& args_;
  const HeadPages pages_;
  const QuantizedSizes<V, kRows> sizes_;
  const int head_dim_;
  const int num_rows_;
  float* const out_;
  float* const max_;
  float* const sum_;
  float* const factor_;  // of the products of queries and keys
  float* const queries_;
  float* const keys_;
  float* const values_;
  float* const scores_;
  const int to_powers_;  // from a number of one of these four to its power of two
};

template <class V>
constexpr bool has_few_rows(int num_queries, int group) {
  return num_queries * group <= kFewRows<V>;
}

// KernelTable::quantized_attention. Slot-major keys and odd head sizes are left to the reference.
template <class V>
void quantized_attention(const QuantizedAttentionArgs& args) noexcept {
  if (args.kv->k_tile == 1 || args.kv->head_dim % 16 != 0)
    reference_table().quantized_attention(args);
  else if (has_few_rows<V>(args.num_queries, args.group))
    QuantizedAttention<V, kFewRows<V>>(args).run();
  else
    QuantizedAttention<V, kTileRows<V>>(args).run();
}

template <class V>
std::size_t quantized_scratch_floats(AttentionMath math, int num_queries, int group, int head_dim) noexcept {
  return has_few_rows<V>(num_queries, group)
             ? QuantizedSizes<V, kFewRows<V>>(math, num_queries, group, head_dim).total()
             : QuantizedSizes<V, kTileRows<V>>(math, num_queries, group, head_dim).total();
}

}  // namespace
}  // namespace octet::kernels
