#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/hopper_sum.h"
#include "kernels/reference.h"
#include "numeric/fp8.h"

namespace octet::kernels::reference {

namespace {

constexpr int kLeastE4m3 = -6, kLeastE5m2 = -14;

int least_exponent(KvDtype dtype) { return dtype == KvDtype::fp8_e4m3 ? kLeastE4m3 : kLeastE5m2; }

// One query head at one position, its query quantised.
struct Row {
  AttentionMath math;
  const KvView& kv;
  int kv_head;
  const std::int32_t* block_table;
  const float* q8;  // [head_dim]
  double scale;     // of the scores: softmax_scale * k_scale * q_scale
  int begin, end;   // the positions that it attends to
  float softcap;

  Fp8Number query(int dim) const { return {static_cast<double>(q8[dim]), kLeastE4m3}; }

  Fp8Number key(int position, int dim) const {
    const std::byte* keys = k_head(kv, block_table[position / kv.block_size], kv_head);
    return {static_cast<double>(element(keys, kv.k_dtype, k_offset(kv, position % kv.block_size, dim))),
            least_exponent(kv.k_dtype)};
  }

  Fp8Number value(int position, int dim) const {
    const std::byte* values = v_head(kv, block_table[position / kv.block_size], kv_head);
    return {static_cast<double>(element(values, kv.v_dtype, v_offset(kv, position % kv.block_size, dim))),
            least_exponent(kv.v_dtype)};
  }

  // The sum of `depth` products, to be added to c. Exact sums stand for float32's.
  template <class A, class B>
  double add_products(double c, int depth, A&& a, B&& b) const {
    if (is_hopper(math)) return hopper_sum(c, depth, a, b);
    for (int k = 0; k < depth; ++k) c += a(k).value * b(k).value;
    return c;
  }

  double score(int position) const {
    double dot = 0;
    for (int d = 0; d < kv.head_dim; d += kHopperDepth)
      dot = add_products(
          dot, std::min(kHopperDepth, kv.head_dim - d), [&](int k) { return query(d + k); },
          [&](int k) { return key(position, d + k); });
    return softcapped(dot * scale, softcap);
  }
};

// Brings q to e4m3 and returns its scale.
float quantize_query(const QuantizedAttentionArgs& args, int query, int head, float* q8) {
  const int head_dim = args.kv->head_dim;
  const float* q = args.q + query * args.q_stride + static_cast<std::int64_t>(head) * head_dim;
  float scale = 0.0f;
  if (args.q_scale != nullptr) {
    scale = args.q_scale[head];
  } else {
    for (int d = 0; d < head_dim; ++d) scale = std::max(scale, std::abs(q[d]));
    scale = scale / kQueryScaleDivisor;
  }
  const float divisor = scale > 0.0f ? scale : 1.0f;  // zeros, perhaps with NaN among them
  for (int d = 0; d < head_dim; ++d) q8[d] = fp8_e4m3::from_float(q[d] / divisor).to_float();
  return scale;
}

// out[d] += sum over [first, last), positions of one tile, of weights[position - first] * v.
void add_values(const Row& row, int first, int last, const Fp8Number* weights, float* out) {
  for (int d = 0; d < row.kv.head_dim; ++d) {
    const auto before = static_cast<double>(out[d]);
    double sum = row.math == AttentionMath::fp8_hopper_plain ? before : 0.0;
    for (int p = first; p < last;) {
      const int group_end = std::min(last, (p / kHopperDepth + 1) * kHopperDepth);
      sum = row.add_products(
          sum, group_end - p, [&](int k) { return weights[p - first + k]; },
          [&](int k) { return row.value(p + k, d); });
      p = group_end;
    }
    out[d] = static_cast<float>(row.math == AttentionMath::fp8_hopper_plain ? sum : before + sum);
  }
}

struct Softmax {
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0.0;
};

// The positions [first, last) of one tile.
void add_tile(const Row& row, int first, int last, Softmax& softmax, float* out) {
  std::array<double, kQuantizedTile> scores;
  std::array<Fp8Number, kQuantizedTile> weights;
  double max = softmax.max;
  for (int p = first; p < last; ++p) {
    scores[static_cast<std::size_t>(p - first)] = row.score(p);
    max = std::max(max, scores[static_cast<std::size_t>(p - first)]);
  }
  const double keep = std::exp(softmax.max - max);
  softmax.sum *= keep;
  softmax.max = max;
  for (int p = first; p < last; ++p) {
    const double weight = std::exp(scores[static_cast<std::size_t>(p - first)] - max);
    softmax.sum += weight;
    const auto scaled = static_cast<float>(static_cast<double>(kWeightFactor) * weight);
    weights[static_cast<std::size_t>(p - first)] = {
        static_cast<double>(fp8_e4m3::from_float(scaled).to_float()), kLeastE4m3};
  }
  for (int d = 0; d < row.kv.head_dim; ++d) out[d] = static_cast<float>(static_cast<double>(out[d]) * keep);
  add_values(row, first, last, weights.data(), out);
}

Softmax attend(const Row& row, float* out) {
  std::fill_n(out, row.kv.head_dim, 0.0f);
  Softmax softmax;
  for (int tile = (row.end - 1) / kQuantizedTile * kQuantizedTile; tile + kQuantizedTile > row.begin;
       tile -= kQuantizedTile)
    add_tile(row, std::max(tile, row.begin), std::min(tile + kQuantizedTile, row.end), softmax, out);
  return softmax;
}

}  // namespace

void quantized_attention(const QuantizedAttentionArgs& args) noexcept {
  const KvView& kv = *args.kv;
  for (int i = 0; i < args.num_queries; ++i) {
    const int seen_end = std::min(args.end, args.first_position + i + 1);
    const int window_begin = args.window > 0 ? args.first_position + i + 1 - args.window : 0;
    for (int g = 0; g < args.group; ++g) {
      const float q_scale = quantize_query(args, i, g, args.scratch);
      const double scale = static_cast<double>(args.softmax_scale) *
                           static_cast<double>(kv.k_scale[args.kv_head]) * static_cast<double>(q_scale);
      float* out = args.out + i * args.out_stride + static_cast<std::int64_t>(g) * kv.head_dim;
      const Row row{args.math,
                    kv,
                    args.kv_head,
                    args.block_table,
                    args.scratch,
                    scale,
                    std::max(args.begin, window_begin),
                    seen_end,
                    args.softcap};
      const Softmax softmax = attend(row, out);
      double factor = 1.0 / static_cast<double>(kWeightFactor);
      if (args.sum != nullptr) {
        args.max[i * args.group + g] = static_cast<float>(softmax.max);
        args.sum[i * args.group + g] = static_cast<float>(softmax.sum);
      } else {
        factor *= static_cast<double>(kv.v_scale[args.kv_head]) / softmax.sum;
      }
      for (int d = 0; d < kv.head_dim; ++d) out[d] = static_cast<float>(static_cast<double>(out[d]) * factor);
    }
  }
}

std::size_t quantized_scratch_floats(AttentionMath, int, int, int head_dim) noexcept {
  return static_cast<std::size_t>(head_dim);
}

}  // namespace octet::kernels::reference
