// Prefill attention: the scores of many queries against the paged cache are a blocked matrix product, the
// softmax runs online, and the weighted sum of the values is a second product.
//
// Rows are (query position, head of the group), position-major, kTileRows to a register tile. A chunk of
// cached positions is converted to float32 panels once (prefill_panels.h) and then met by every row tile:
// scores, softmax and weighted sum, all within the first- and second-level caches.
//
// Scores are in units of log2, so that the softmax needs 2^x only. Chunks begin at multiples of their
// length, and a masked score weighs exactly nothing: a row's result is the same bits whichever rows share
// its call. Blocks outside of [first_position - window + 1, first_position + num_queries) are not touched.
#pragma once

#include "kernels/isa/prefill_panels.h"
#include "kernels/isa/softcap_body.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {
namespace {

constexpr float kNoScore = -__builtin_inff();

// Sizes of the scratch's parts, in floats; each a multiple of 16, so that all are aligned as the whole.
template <class V>
struct PrefillSizes {
  static constexpr int kRows = kTileRows<V>;
  static constexpr int kCols = kTileCols<V>;
  static constexpr int kScoreStride = 128;  // the longest chunk

  int rows;         // padded to whole tiles
  int out_columns;  // head_dim padded to whole panels
  int chunk;        // cached positions in a chunk: both panels together stay well within a 512 KiB cache
  int queries;      // [row tile][head_dim][kRows]
  int out;          // [row tile][panel][kRows][kCols]
  int keys;
  int values;
  int scores;   // [kRows][kScoreStride]
  int weights;  // the same in bfloat16, for who multiplies that
  int row_state;

  PrefillSizes(int num_queries, int group, int head_dim)
      : rows(round_up(num_queries * group, kRows)),
        out_columns(round_up(head_dim, kCols)),
        chunk(head_dim > 128 ? kScoreStride / 2 : kScoreStride),
        queries(round_up(rows * head_dim, 16)),
        out(round_up(rows * out_columns, 16)),
        keys(chunk * head_dim),
        values(chunk * out_columns),
        scores(kRows * kScoreStride),
        weights(kRows * kScoreStride / 2),
        row_state(round_up(rows, 16)) {}

  std::size_t total() const {
    return static_cast<std::size_t>(queries) + static_cast<std::size_t>(out) +
           static_cast<std::size_t>(keys + values + scores + weights) + 2 * static_cast<std::size_t>(row_state);
  }
};

// What does not depend on how numbers are multiplied. Self packs the queries, converts a chunk, multiplies a
// row tile with it, and keeps softmax weights as it will multiply them: FloatPrefill below says how.
template <class V, class Self>
class Prefill {
 public:
  explicit Prefill(const PrefillAttentionArgs& args)
      : args_(args),
        pages_(*args.kv, args.kv_head, args.block_table),
        sizes_(args.num_queries, args.group, args.kv->head_dim),
        head_dim_(args.kv->head_dim),
        num_rows_(args.num_queries * args.group),
        queries_(args.scratch),
        out_(queries_ + sizes_.queries),
        keys_(out_ + sizes_.out),
        values_(keys_ + sizes_.keys),
        scores_(values_ + sizes_.values),
        weights_(scores_ + sizes_.scores),
        max_(weights_ + sizes_.weights),
        sum_(max_ + sizes_.row_state) {}

  void run() {
    self().pack_queries();
    for (int i = 0; i < sizes_.out; ++i) out_[i] = 0.0f;
    for (int row = 0; row < sizes_.rows; ++row) max_[row] = kNoScore, sum_[row] = 0.0f;
    const int begin = first_seen(0);
    const int end = args_.first_position + args_.num_queries;
    for (int chunk = begin / sizes_.chunk * sizes_.chunk; chunk < end; chunk += sizes_.chunk)
      attend_to_chunk(chunk, larger(begin, chunk), smaller(end, chunk + sizes_.chunk), end);
    write_out();
  }

 protected:
  static constexpr int kRows = PrefillSizes<V>::kRows;
  static constexpr int kCols = PrefillSizes<V>::kCols;
  static constexpr int kScoreStride = PrefillSizes<V>::kScoreStride;

  Self& self() { return static_cast<Self&>(*this); }

  // Row r attends to positions [first_seen(r), last_seen(r)]; padding rows do as the last real one.
  int last_seen(int row) const { return args_.first_position + smaller(row, num_rows_ - 1) / args_.group; }
  int first_seen(int row) const { return args_.window > 0 ? larger(0, last_seen(row) - args_.window + 1) : 0; }

  // What the queries are multiplied by for all that their scores are to be.
  float query_scale() const {
    const KvView& kv = pages_.kv();
    return args_.softmax_scale * kv.k_scale[args_.kv_head] * kLog2E * raw_factor(kv.k_dtype);
  }
  // The query of a row; padding rows have that of the last real one.
  const float* query(int row) const {
    const int real = smaller(row, num_rows_ - 1);
    return args_.q + real / args_.group * args_.q_stride + real % args_.group * head_dim_;
  }

  // The chunk's positions [begin, end) for all rows, while the next chunk comes nearer; the last ends at
  // `all_end`.
  void attend_to_chunk(int chunk, int begin, int end, int all_end) {
    self().convert(chunk, begin, end);
    const int tiles = sizes_.rows / kRows;
    const int ahead = (sizes_.chunk + tiles - 1) / tiles;  // positions to prefetch beside each tile
    for (int tile = 0; tile < tiles; ++tile) {
      const int next = smaller(chunk + sizes_.chunk + tile * ahead, all_end);
      prefetch_slots(pages_, next, smaller(smaller(next + ahead, chunk + 2 * sizes_.chunk), all_end));
      // What the tile's rows see of the chunk together.
      const int first = larger(0, first_seen(tile * kRows) - chunk);
      const int last = smaller(sizes_.chunk, last_seen(tile * kRows + kRows - 1) + 1 - chunk);
      if (first < last) self().attend(tile, chunk, first, last);
    }
  }

  // The online softmax of one row: turns its scores of slots [first, last) into weights 2^(score - max), which
  // Self keeps (0 for the other slots of the same vectors), and returns what the row's sums of earlier chunks
  // are to be multiplied by.
  float soften(int row, float* scores, int chunk, int first, int last) {
    const int from = first / V::width * V::width;
    const int to = round_up(last, V::width);
    const int row_first = larger(first, first_seen(row) - chunk);
    const int row_last = smaller(last, last_seen(row) + 1 - chunk);
    if (row_first >= row_last) {  // sees nothing here
      for (int i = from; i < to; i += V::width) self().keep_weights(row, i, V::zero());
      return 1.0f;
    }
    if (args_.softcap > 0.0f) cap_scores<V>(scores + from, to - from, 1.0f, nullptr, args_.softcap * kLog2E);
    for (int i = from; i < row_first; ++i) scores[i] = kNoScore;
    for (int i = row_last; i < to; ++i) scores[i] = kNoScore;
    const float before = max_[row];
    V most = V::broadcast(before);
    for (int i = from; i < to; i += V::width) most = max(most, V::load(scores + i));
    const float now = most.reduce_max();
    const V shift = V::broadcast(now);
    V sum = V::zero();
    for (int i = from; i < to; i += V::width) {
      const V weight = exp2_of_negative(V::load(scores + i) - shift);
      self().keep_weights(row, i, weight);
      sum = sum + weight;
    }
    const float keep = before == now ? 1.0f : exp2_of_negative(V::broadcast(before - now)).first_lane();
    max_[row] = now;
    sum_[row] = sum_[row] * keep + sum.reduce_add();
    return keep;
  }

  void write_out() {
    const KvView& kv = pages_.kv();
    const float scale = kv.v_scale[args_.kv_head] * raw_factor(kv.v_dtype);
    for (int row = 0; row < num_rows_; ++row) {
      const V factor = V::broadcast(scale / sum_[row]);
      const int query = row / args_.group;
      const float* from = out_ + row / kRows * kRows * sizes_.out_columns + row % kRows * kCols;
      float* to = args_.out + query * args_.out_stride + (row % args_.group) * head_dim_;
      for (int d = 0; d < head_dim_; d += V::width)
        (V::load(from + d / kCols * kCols * kRows + d % kCols) * factor).store(to + d);
    }
  }

  const PrefillAttentionArgs& args_;
  const HeadPages pages_;
  const PrefillSizes<V> sizes_;
  const int head_dim_;
  const int num_rows_;
  float* const queries_;
  float* const out_;
  float* const keys_;
  float* const values_;
  float* const scores_;
  float* const weights_;
  float* const max_;
  float* const sum_;
};

// All in float32.
template <class V>
class FloatPrefill : public Prefill<V, FloatPrefill<V>> {
  using Base = Prefill<V, FloatPrefill<V>>;
  friend Base;
  using Base::head_dim_, Base::keys_, Base::kCols, Base::kRows, Base::kScoreStride, Base::out_, Base::pages_,
      Base::queries_, Base::scores_, Base::sizes_, Base::values_;

 public:
  using Base::Base;

 private:
  void pack_queries() {
    const float scale = this->query_scale();
    for (int row = 0; row < sizes_.rows; ++row) {
      const float* from = this->query(row);
      float* to = queries_ + row / kRows * kRows * head_dim_ + row % kRows;
      for (int d = 0; d < head_dim_; ++d) to[d * kRows] = from[d] * scale;
    }
  }

  // The chunk's positions [begin, end) into keys_ and values_.
  void convert(int chunk, int begin, int end) {
    const KvView& kv = pages_.kv();
    with_dtype(kv.k_dtype, [&]<Dtype D>() { convert_keys<V, D>(pages_, begin, end, chunk, keys_); });
    with_dtype(kv.v_dtype,
               [&]<Dtype D>() { convert_values<V, D>(pages_, begin, end, chunk, sizes_.chunk, values_); });
  }

  // One row tile and slots [first, last) of the chunk.
  void attend(int tile, int chunk, int first, int last) {
    for (int slot = first / kCols * kCols; slot < last; slot += kCols)
      multiply_tile<V, 2, Strides{1, kRows}, kScoreStride, false>(
          queries_ + tile * kRows * head_dim_, keys_ + slot * head_dim_, head_dim_, scores_ + slot, nullptr);
    float keep[16];
    for (int r = 0; r < kRows; ++r)
      keep[r] = this->soften(tile * kRows + r, scores_ + r * kScoreStride, chunk, first, last);
    const int depth = last - first;
    constexpr Strides kWeights{kScoreStride, 1};
    for (int d = 0; d < head_dim_; d += kCols) {
      float* out = out_ + tile * kRows * sizes_.out_columns + d * kRows;
      const float* values = values_ + d * sizes_.chunk + first * kCols;
      if (head_dim_ - d > V::width)
        multiply_tile<V, 2, kWeights, kCols, true>(scores_ + first, values, depth, out, keep);
      else
        multiply_tile<V, 1, kWeights, kCols, true>(scores_ + first, values, depth, out, keep);
    }
  }

  // In the place of the scores that they come from.
  void keep_weights(int row, int slot, V weights) {
    weights.store(scores_ + row % kRows * kScoreStride + slot);
  }
};

// KernelTable::prefill_attention. Slot-major keys and odd head sizes are left to the reference.
template <class V>
void prefill_attention(const PrefillAttentionArgs& args) noexcept {
  if (args.kv->k_tile == 1 || args.kv->head_dim % 16 != 0) return reference_table().prefill_attention(args);
  FloatPrefill<V>(args).run();
}

template <class V>
std::size_t prefill_scratch_floats(int num_queries, int group, int head_dim) noexcept {
  return PrefillSizes<V>(num_queries, group, head_dim).total();
}

}  // namespace
}  // namespace octet::kernels
