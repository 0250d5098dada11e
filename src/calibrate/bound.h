// Ranges that queries, keys and values cannot leave, whatever the text: from the weights alone.
//
// Scales made of them saturate for no input. They are wider than any range that is measured, which costs FP8
// little: its error is relative. docs/calibration.md derives the bound and compares it with measured
// ranges.
#pragma once

#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "calibrate/layer_ranges.h"
#include "model/config.h"
#include "model/weights.h"

namespace octet::calibrate {

// The largest |q|, |k| and |v| of every layer and head [num_layers], q and k after the rotary embedding at any
// position (or without one). Holds where q, k and v are linear in the RMS-normalised hidden state, as in every
// architecture of model/weights.h; heads of q and k that are themselves normed (q_norm, k_norm) are bounded by
// the norm's gain alone. It contains what rounding adds (activations and scales in bfloat16, sums in float32).
// NaN or infinite where a weight is: scales_from_ranges names it.
std::vector<LayerRanges> bound_ranges(const model::ModelConfig& config, const model::Weights& weights,
                                      ThreadPool& pool);

// A pair of a key's channels that a bias moves far from zero: `offset` is the length of the pair's biases,
// `spread` the standard deviation that the hidden state gives the two channels where all its directions are as
// likely.
struct KeyOffset {
  int layer;
  int kv_head;
  int channel;  // the first of the pair
  float offset;
  float spread;
};

// The pair of a layer's keys with the largest offset for its spread; nothing where k has no bias, or heads of k
// are normed after it. A format whose numbers are further apart at `offset` than `spread` loses what the
// channel says.
std::optional<KeyOffset> largest_key_offset(const model::ModelConfig& config, const model::Weights& weights,
                                            int layer);

}  // namespace octet::calibrate
