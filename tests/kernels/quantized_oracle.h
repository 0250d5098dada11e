// Attention in the quantised domain written once more, plainly and independently of the kernels: sums in
// float64, and those of Hopper's tensor core in whole numbers.
//
// A kernel's scores differ from these in the last bits of float32, so that a softmax weight which lies next to
// the middle between two e4m3 numbers may rightly become either, and an accumulator next to a whole number of
// units may rightly be cut off to either. `slack` says how much such cases can move a result; there are few.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/quantized_attention.h"
#include "kernels/reference.h"
#include "numeric/fp8.h"
#include "paged_cache.h"

namespace octet::kernels {

// An FP8 number as (-1)^s * significand * 2^(exponent - 3), the significand below 16 and without a hidden bit
// where it is subnormal.
struct Fp8Parts {
  int sign_and_significand;
  int exponent;
};

inline Fp8Parts parts_of(double value, int least_exponent) {
  if (value == 0) return {0, 0};
  const int exponent = std::max(std::ilogb(value), least_exponent);
  return {static_cast<int>(std::ldexp(value, 3 - exponent)), exponent};
}

inline int least_exponent_of(KvDtype dtype) { return dtype == KvDtype::fp8_e4m3 ? -6 : -14; }

// A sum of up to 32 products and an accumulator of 14 bits, with integers alone.
class IntegerAccumulator {
 public:
  // value = units * 2^exponent, |units| < 2^14.
  std::int64_t units = 0;
  int exponent = 0;
  double nearness = 1;  // of what was cut off from the last accumulator that was set, to a whole unit

  double value() const { return std::ldexp(static_cast<double>(units), exponent); }

  // One instruction. The accumulator that goes in is `before`, which may have more than 14 bits.
  void add(double before, const std::vector<Fp8Parts>& a, const std::vector<Fp8Parts>& b) {
    int top = before == 0 ? std::numeric_limits<int>::min() : std::ilogb(before);
    for (std::size_t k = 0; k < a.size(); ++k)
      if (a[k].sign_and_significand != 0 && b[k].sign_and_significand != 0)
        top = std::max(top, a[k].exponent + b[k].exponent);
    units = 0;
    if (top == std::numeric_limits<int>::min()) return;
    exponent = top - 13;
    const double scaled = std::ldexp(before, -exponent);
    units = static_cast<std::int64_t>(scaled);
    const double fraction = std::abs(scaled) - std::floor(std::abs(scaled));
    nearness = scaled == 0 || fraction == 0 ? 1.0 : std::min(fraction, 1 - fraction);
    for (std::size_t k = 0; k < a.size(); ++k) {
      // The product is sa * sb * 2^(ea + eb - 6); in units of 2^exponent a shift of the magnitude.
      const std::int64_t product =
          static_cast<std::int64_t>(a[k].sign_and_significand) * b[k].sign_and_significand;
      const int shift = a[k].exponent + b[k].exponent - 6 - exponent;
      const std::int64_t magnitude = std::abs(product);
      const std::int64_t cut = shift >= 0 ? magnitude << shift : shift > -63 ? magnitude >> -shift : 0;
      if (product != 0) units += product < 0 ? -cut : cut;
    }
    while (std::abs(units) >= 1 << 14) {
      units = units < 0 ? -(-units >> 1) : units >> 1;
      ++exponent;
    }
  }
};

// What is asked of a kernel; as QuantizedAttentionArgs.
struct QuantizedCase {
  AttentionMath math = AttentionMath::fp8;
  int num_queries = 1;
  int group = 1;
  int first_position = 0;
  int window = 0;
  int begin = 0;
  int end = 0;  // 0: all
  float softmax_scale = 0.125f;
  float softcap = 0.0f;
  std::vector<float> q_scale = {};  // [group], or empty

  int last() const { return end == 0 ? first_position + num_queries : end; }
};

// One row's result, normalised, with how far a right kernel's may be from it.
struct OracleRow {
  std::vector<double> out, tolerance;
  double log_sum = 0;  // log of the sum of exp(score)
};

class QuantizedOracle {
 public:
  QuantizedOracle(const QuantizedCase& wanted, PagedCache& cache, int kv_head)
      : case_(wanted), kv_(cache.view()), table_(cache.block_table()), kv_head_(kv_head) {}

  // `q` [head_dim] is the query of head `g` at `position`.
  OracleRow attend(const float* q, int g, int position) {
    const int end = std::min(case_.last(), position + 1);
    const int begin = std::max(case_.begin, case_.window > 0 ? position + 1 - case_.window : 0);
    quantize(q, g);
    max_ = -std::numeric_limits<double>::infinity();
    sum_ = 0;
    out_.assign(static_cast<std::size_t>(kv_.head_dim), 0.0);
    mass_ = slack_ = out_;
    relative_ = 2e-6;
    for (int tile = (end - 1) / kQuantizedTile; tile >= begin / kQuantizedTile; --tile)
      add_tile(std::max(begin, tile * kQuantizedTile), std::min(end, (tile + 1) * kQuantizedTile));
    OracleRow row;
    row.log_sum = max_ + std::log(sum_);
    const double factor = static_cast<double>(kv_.v_scale[kv_head_]) / (256 * sum_);
    for (std::size_t d = 0; d < out_.size(); ++d) {
      row.out.push_back(out_[d] * factor);
      row.tolerance.push_back((relative_ * mass_[d] + slack_[d]) * factor);
    }
    return row;
  }

 private:
  bool hopper() const { return is_hopper(case_.math); }
  bool plain() const { return case_.math == AttentionMath::fp8_hopper_plain; }

  void quantize(const float* q, int g) {
    float scale = 0;
    if (case_.q_scale.empty()) {
      for (int d = 0; d < kv_.head_dim; ++d) scale = std::max(scale, std::abs(q[d]));
      scale /= 448.0f;
    } else {
      scale = case_.q_scale[static_cast<std::size_t>(g)];
    }
    q8_.clear();
    for (int d = 0; d < kv_.head_dim; ++d)
      q8_.push_back(static_cast<double>(fp8_e4m3::from_float(scale > 0 ? q[d] / scale : 0.0f).to_float()));
    score_scale_ = static_cast<double>(case_.softmax_scale) * static_cast<double>(kv_.k_scale[kv_head_]) *
                   static_cast<double>(scale);
  }

  double key(int p, int d) const {
    const std::byte* head = k_head(kv_, table_[p / kv_.block_size], kv_head_);
    return static_cast<double>(reference::element(head, kv_.k_dtype, k_offset(kv_, p % kv_.block_size, d)));
  }
  double value(int p, int d) const {
    const std::byte* head = v_head(kv_, table_[p / kv_.block_size], kv_head_);
    return static_cast<double>(reference::element(head, kv_.v_dtype, v_offset(kv_, p % kv_.block_size, d)));
  }

  double score(int p) {
    double dot = 0, magnitude = 0;
    IntegerAccumulator narrow;
    for (int first = 0; first < kv_.head_dim; first += 32) {
      std::vector<Fp8Parts> a, b;
      for (int d = first; d < std::min(first + 32, kv_.head_dim); ++d) {
        const double q = q8_[static_cast<std::size_t>(d)], k = key(p, d);
        dot += q * k;
        magnitude += std::abs(q * k);
        a.push_back(parts_of(q, -6));
        b.push_back(parts_of(k, least_exponent_of(kv_.k_dtype)));
      }
      if (hopper()) narrow.add(narrow.value(), a, b);
    }
    relative_ = std::max(relative_, 2e-6 + 5e-7 * magnitude * score_scale_);
    const double score = (hopper() ? narrow.value() : dot) * score_scale_;
    const auto cap = static_cast<double>(case_.softcap);
    return cap > 0 ? cap * std::tanh(score / cap) : score;
  }

  // The softmax weight as e4m3, and by how much it could be another one.
  double rounded(double weight, double& doubt) const {
    const double x = 256 * weight;
    const double step = std::ldexp(1.0, std::max(x > 0 ? std::ilogb(x) : -6, -6) - 3);
    const double from_middle = std::abs(x / step - std::floor(x / step) - 0.5) * step;
    doubt = from_middle <= 2 * relative_ * x ? step : 0;
    return static_cast<double>(fp8_e4m3::from_float(static_cast<float>(x)).to_float());
  }

  void add_tile(int first, int last) {
    std::vector<double> scores, weights, doubts;
    double max = max_;
    for (int p = first; p < last; ++p) {
      scores.push_back(score(p));
      max = std::max(max, scores.back());
    }
    const double keep = std::exp(max_ - max);
    max_ = max;
    sum_ *= keep;
    for (const double score : scores) {
      const double weight = std::exp(score - max);
      sum_ += weight;
      double doubt = 0;
      weights.push_back(rounded(weight, doubt));
      doubts.push_back(doubt);
    }
    for (int d = 0; d < kv_.head_dim; ++d) add_values(first, last, d, keep, weights, doubts);
  }

  void add_values(int first, int last, int d, double keep, const std::vector<double>& weights,
                  const std::vector<double>& doubts) {
    const auto at = static_cast<std::size_t>(d);
    double& mass = mass_[at];
    double& slack = slack_[at];
    mass *= keep;
    slack *= keep;
    double exact = 0, doubt = 0, largest_unit = 0;
    const double before = out_[at] * keep;
    IntegerAccumulator narrow;
    double carried = plain() ? before : 0;
    bool in_doubt = false;
    for (int group = first; group < last;) {
      const int end = std::min(last, (group / 32 + 1) * 32);
      std::vector<Fp8Parts> a, b;
      for (int p = group; p < end; ++p) {
        const auto i = static_cast<std::size_t>(p - first);
        const double v = value(p, d);
        exact += weights[i] * v;
        mass += weights[i] * std::abs(v);
        doubt += doubts[i] * std::abs(v);
        a.push_back(parts_of(weights[i], -6));
        b.push_back(parts_of(v, least_exponent_of(kv_.v_dtype)));
      }
      if (hopper()) {
        narrow.add(carried, a, b);
        // Only what comes from another tile has bits that the kernel may see otherwise.
        in_doubt = in_doubt || (carried == before && keep != 1 && narrow.nearness < 0.1);
        largest_unit = std::max(largest_unit, std::ldexp(1.0, narrow.exponent));
        carried = narrow.value();
      }
      group = end;
    }
    slack += doubt;
    // A weight or an accumulator that is another one moves where sums are cut off.
    if (hopper() && (doubt > 0 || in_doubt || (plain() && slack > 0))) slack += 4 * largest_unit;
    out_[at] = plain() ? carried : before + (hopper() ? carried : exact);
  }

  const QuantizedCase& case_;
  const KvView kv_;
  const std::int32_t* table_;
  const int kv_head_;
  std::vector<double> q8_, out_, mass_, slack_;
  double score_scale_ = 1, max_ = 0, sum_ = 0;
  double relative_ = 0;  // of a weight's error
};

}  // namespace octet::kernels
