#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/reference.h"

namespace octet::kernels::reference {

namespace {

// What one query head sees of the cache.
struct Head {
  const float* q;  // [head_dim]
  double scale;    // softmax_scale * k_scale
  const KvView& kv;
  int kv_head;
  const std::int32_t* block_table;
  float softcap;

  double score(int position) const {
    std::byte* keys = k_head(kv, block_table[position / kv.block_size], kv_head);
    const int slot = position % kv.block_size;
    double dot = 0.0;
    for (int d = 0; d < kv.head_dim; ++d)
      dot += static_cast<double>(q[d]) * static_cast<double>(element(keys, kv.k_dtype, k_offset(kv, slot, d)));
    return softcapped(dot * scale * own_scale(keys, kv.k_dtype, slot), softcap);
  }

  double value(int position, int dim) const {
    std::byte* values = v_head(kv, block_table[position / kv.block_size], kv_head);
    const int slot = position % kv.block_size;
    return static_cast<double>(element(values, kv.v_dtype, v_offset(kv, slot, dim))) *
           own_scale(values, kv.v_dtype, slot);
  }

  // 1 where the scale is the layer's.
  double own_scale(std::byte* head, KvDtype dtype, int slot) const {
    return is_per_token_head(dtype) ? static_cast<double>(vector_scale(slot_scale(head, dtype, kv, slot)))
                                    : 1.0;
  }
};

struct Softmax {
  double max;
  double sum;
};

// out[d] = sum over [begin, end) of exp(score - max) * stored v. Two passes: the largest score, then the
// sums, a chunk of positions at a time, so that nothing is allocated.
Softmax attend(const Head& head, int begin, int end, float* out) {
  constexpr int kChunk = 256;
  const int head_dim = head.kv.head_dim;
  Softmax result{-std::numeric_limits<double>::infinity(), 0.0};
  for (int p = begin; p < end; ++p) result.max = std::max(result.max, head.score(p));
  result.max = static_cast<double>(static_cast<float>(result.max));  // what the caller gets: sums must fit it

  std::fill_n(out, head_dim, 0.0f);
  std::array<double, kChunk> weights;
  for (int first = begin; first < end; first += kChunk) {
    const int last = std::min(end, first + kChunk);
    for (int p = first; p < last; ++p) {
      const double weight = std::exp(head.score(p) - result.max);
      weights[static_cast<std::size_t>(p - first)] = weight;
      result.sum += weight;
    }
    for (int d = 0; d < head_dim; ++d) {
      double total = static_cast<double>(out[d]);
      for (int p = first; p < last; ++p)
        total += weights[static_cast<std::size_t>(p - first)] * head.value(p, d);
      out[d] = static_cast<float>(total);
    }
  }
  return result;
}

void attend_kv_head(const DecodeAttentionArgs& args) {
  const KvView& kv = *args.kv;
  const double scale = static_cast<double>(args.softmax_scale) * static_cast<double>(kv.k_scale[args.kv_head]);
  for (int g = 0; g < args.group; ++g) {
    const std::int64_t row = static_cast<std::int64_t>(g) * kv.head_dim;
    const Head head{args.q + row, scale, kv, args.kv_head, args.block_table, args.softcap};
    const Softmax result = attend(head, args.begin, args.end, args.out + row);
    args.max[g] = static_cast<float>(result.max);
    args.sum[g] = static_cast<float>(result.sum);
  }
}

}  // namespace

double softcapped(double score, float softcap) noexcept {
  const auto cap = static_cast<double>(softcap);
  return cap > 0.0 ? cap * std::tanh(score / cap) : score;
}

void decode_attention(const DecodeAttentionArgs& args) noexcept {
  for (int head = 0; head < args.num_kv_heads; ++head) attend_kv_head(of_kv_head(args, head));
}

void merge_attention(const MergeAttentionArgs& args) noexcept {
  for (int g = 0; g < args.group; ++g) {
    double max = -std::numeric_limits<double>::infinity();
    for (int s = 0; s < args.num_splits; ++s)
      max = std::max(max, static_cast<double>(args.partial_max[s * args.split_stride + g]));
    double sum = 0.0;
    for (int s = 0; s < args.num_splits; ++s) {
      const std::int64_t head = static_cast<std::int64_t>(s) * args.split_stride + g;
      sum += std::exp(static_cast<double>(args.partial_max[head]) - max) *
             static_cast<double>(args.partial_sum[head]);
    }
    for (int d = 0; d < args.head_dim; ++d) {
      double total = 0.0;
      for (int s = 0; s < args.num_splits; ++s) {
        const std::int64_t head = static_cast<std::int64_t>(s) * args.split_stride + g;
        total += std::exp(static_cast<double>(args.partial_max[head]) - max) *
                 static_cast<double>(args.partial_out[head * args.head_dim + d]);
      }
      args.out[static_cast<std::int64_t>(g) * args.head_dim + d] =
          static_cast<float>(static_cast<double>(args.v_scale) * total / sum);
    }
  }
}

void prefill_attention(const PrefillAttentionArgs& args) noexcept {
  const KvView& kv = *args.kv;
  const double scale = static_cast<double>(args.softmax_scale) * static_cast<double>(kv.k_scale[args.kv_head]);
  const double v_scale = static_cast<double>(kv.v_scale[args.kv_head]);
  for (int i = 0; i < args.num_queries; ++i) {
    const int end = args.first_position + i + 1;
    const int begin = args.window > 0 ? std::max(0, end - args.window) : 0;
    for (int g = 0; g < args.group; ++g) {
      const std::int64_t column = static_cast<std::int64_t>(g) * kv.head_dim;
      const Head head{
          args.q + i * args.q_stride + column, scale, kv, args.kv_head, args.block_table, args.softcap};
      float* out = args.out + i * args.out_stride + column;
      const double sum = attend(head, begin, end, out).sum;
      for (int d = 0; d < kv.head_dim; ++d)
        out[d] = static_cast<float>(v_scale * static_cast<double>(out[d]) / sum);
    }
  }
}

std::size_t prefill_scratch_floats(int, int, int) noexcept { return 0; }

}  // namespace octet::kernels::reference
