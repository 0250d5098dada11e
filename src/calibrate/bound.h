// Ranges that queries, keys and values cannot leave, whatever the text: from the weights alone.
//
// Scales made of them saturate for no input. They are wider than any range that is measured, which costs FP8
// little: its error is relative. docs/calibration.md derives the bound and compares it with measured
// ranges.
#pragma once

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

}  // namespace octet::calibrate
