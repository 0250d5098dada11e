#include "calibrate/bound.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/error.h"

namespace octet::calibrate {

namespace {

// What the arithmetic may add to the exact value. Rounding activations to bfloat16 moves each of them by 2^-9
// of itself at most, so a pair of sums by sqrt(2) * 2^-9 of the bound; sums of up to 2^14 products in float32
// by sqrt(2) * 2^-10; a scale that is itself rounded to bfloat16 by 2^-9: together below 2^-7.
constexpr double kRounding = 1.0 + 0x1p-7;

// out[i] = weight[row, i] * gain[i]: the row as the unit-variance input sees it.
void read_row(const model::Linear& linear, int row, const std::vector<float>& gain, std::vector<double>& out) {
  std::vector<float> numbers(static_cast<std::size_t>(linear.cols));
  model::read_linear_row(linear, row, numbers.data());
  for (std::size_t i = 0; i < numbers.size(); ++i) out[i] = double{numbers[i]} * double{gain[i]};
}

double dot(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

double bias_of(const model::Linear& linear, int row) {
  return linear.bias.empty() ? 0.0 : double{linear.bias[static_cast<std::size_t>(row)]};
}

// The larger one; NaN where either is.
double widest(double a, double b) { return std::isnan(a) || a > b ? a : b; }

// Two rows; one of these a thread.
struct Scratch {
  std::vector<double> low, high;  // [D]
};

float rounded_up(double bound) {
  return std::nextafter(static_cast<float>(bound * kRounding), std::numeric_limits<float>::infinity());
}

// How heads of q and k turn in one layer.
struct Turn {
  int rotary_dim = 0;  // the first so many elements turn in pairs (i, i + rotary_dim / 2)
  double scale = 1.0;  // multiplies them
};

Turn turn_of(const model::ModelConfig& config, std::size_t layer) {
  const int rope = config.layers[layer].rope;
  if (rope == model::LayerConfig::kNoRope) return {};
  const model::RopeConfig& turns = config.ropes[static_cast<std::size_t>(rope)];
  return {turns.rotary_dim, turns.attention_factor};
}

// One head of one projection, whose rows begin at `first`.
class HeadBound {
 public:
  HeadBound(const model::Linear& linear, const std::vector<float>& gain, int first, int head_dim,
            Scratch& scratch)
      : linear_(linear),
        gain_(gain),
        first_(first),
        head_dim_(head_dim),
        low_(scratch.low),
        high_(scratch.high) {}

  // |w·u + b| over ||u|| <= sqrt(D).
  float plain() { return rounded_up(plain_from(0)); }

  // Dimensions i and i + rotary_dim / 2 turn together by an angle that may be any: neither exceeds the length
  // of the pair, ||A u + b|| <= sqrt(D) * (the larger singular value of the two rows A) + ||b||.
  float turned(const Turn& turn) {
    return rounded_up(widest(turn.scale * pairs(turn.rotary_dim / 2), plain_from(turn.rotary_dim)));
  }

 private:
  double plain_from(int first) {
    double most = 0;
    for (int i = first; i < head_dim_; ++i) {
      read_row(linear_, first_ + i, gain_, low_);
      most = widest(radius() * std::sqrt(dot(low_, low_)) + std::abs(bias_of(linear_, first_ + i)), most);
    }
    return most;
  }

  double pairs(int half) {
    double most = 0;
    for (int i = 0; i < half; ++i) {
      read_row(linear_, first_ + i, gain_, low_);
      read_row(linear_, first_ + half + i, gain_, high_);
      const double a = dot(low_, low_), b = dot(high_, high_), c = dot(low_, high_);
      const double largest_eigenvalue = (a + b) / 2 + std::hypot((a - b) / 2, c);  // of A A^T
      const double bias = std::hypot(bias_of(linear_, first_ + i), bias_of(linear_, first_ + half + i));
      most = widest(radius() * std::sqrt(largest_eigenvalue) + bias, most);
    }
    return most;
  }

  // RMSNorm gives u = h / sqrt(mean(h^2) + eps), whose length is below sqrt(D).
  double radius() const { return std::sqrt(static_cast<double>(linear_.cols)); }

  const model::Linear& linear_;
  const std::vector<float>& gain_;
  int first_, head_dim_;
  std::vector<double>&low_, &high_;
};

// A head that is normed has length sqrt(d) at most before its gain, so a pair has that times its larger gain.
float bound_of_normed(const std::vector<float>& gain, const Turn& turn) {
  double turned = 0, plain = 0;
  for (std::size_t i = 0; i < gain.size(); ++i) {
    double& most = static_cast<int>(i) < turn.rotary_dim ? turned : plain;
    most = widest(std::abs(double{gain[i]}), most);
  }
  return rounded_up(std::sqrt(static_cast<double>(gain.size())) * widest(turned * turn.scale, plain));
}

}  // namespace

std::vector<LayerRanges> bound_ranges(const model::ModelConfig& config, const model::Weights& weights,
                                      ThreadPool& pool) {
  const auto q_heads = static_cast<std::size_t>(config.num_heads);
  const auto kv_heads = static_cast<std::size_t>(config.num_kv_heads);
  const std::size_t heads = q_heads + 2 * kv_heads;  // of a layer: q, then k, then v
  std::vector<LayerRanges> ranges(weights.layers.size());
  for (LayerRanges& layer : ranges) {
    layer.q.resize(q_heads);
    layer.k.resize(kv_heads);
    layer.v.resize(kv_heads);
  }
  const std::vector<double> row(static_cast<std::size_t>(config.hidden_size));
  std::vector<Scratch> scratch(static_cast<std::size_t>(pool.num_threads()), {row, row});
  pool.run(ranges.size() * heads, [&](std::size_t index, int thread) {
    const model::LayerWeights& w = weights.layers[index / heads];
    LayerRanges& to = ranges[index / heads];
    const auto bound = [&](const model::Linear& linear, std::size_t head) {
      return HeadBound(linear, w.attention_norm, static_cast<int>(head) * config.head_dim, config.head_dim,
                       scratch[static_cast<std::size_t>(thread)]);
    };
    const Turn turn = turn_of(config, index / heads);
    const std::size_t head = index % heads;
    if (head < q_heads)
      to.q[head] = config.qk_norm ? bound_of_normed(w.q_norm, turn) : bound(w.q, head).turned(turn);
    else if (head < q_heads + kv_heads)
      to.k[head - q_heads] =
          config.qk_norm ? bound_of_normed(w.k_norm, turn) : bound(w.k, head - q_heads).turned(turn);
    else
      to.v[head - q_heads - kv_heads] = bound(w.v, head - q_heads - kv_heads).plain();
  });
  return ranges;
}

std::optional<KeyOffset> largest_key_offset(const model::ModelConfig& config, const model::Weights& weights,
                                            int layer) {
  const auto index = static_cast<std::size_t>(layer);
  const model::LayerWeights& w = weights.layers[index];
  if (w.k.bias.empty() || config.qk_norm) return std::nullopt;
  const int rotary_dim = turn_of(config, index).rotary_dim;
  std::vector<double> row(static_cast<std::size_t>(config.hidden_size));
  const auto variance = [&](int channel) {
    read_row(w.k, channel, w.attention_norm, row);
    return dot(row, row);
  };
  std::optional<KeyOffset> most;
  for (int head = 0; head < config.num_kv_heads; ++head) {
    for (int channel = 0; channel < config.head_dim; ++channel) {
      if (channel >= rotary_dim / 2 && channel < rotary_dim) continue;  // the second of a pair
      const int first = head * config.head_dim + channel;
      const int second = channel < rotary_dim ? first + rotary_dim / 2 : first;
      const double offset = second == first ? std::abs(bias_of(w.k, first))
                                            : std::hypot(bias_of(w.k, first), bias_of(w.k, second));
      const double spread = std::sqrt((variance(first) + variance(second)) / 2);
      const KeyOffset found{layer, head, channel, static_cast<float>(offset), static_cast<float>(spread)};
      if (!most || found.offset * most->spread > most->offset * found.spread) most = found;
    }
  }
  return most;
}

}  // namespace octet::calibrate
