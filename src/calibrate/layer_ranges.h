// The largest |q|, |k| and |v| that a model showed, for every layer and head, and the scales that follow from
// them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/kv_scales.h"
#include "model/attention_observer.h"
#include "model/config.h"

namespace octet::calibrate {

// The largest magnitudes of one layer; 0 where nothing was seen, NaN where a NaN was.
struct LayerRanges {
  std::vector<float> q;  // [num_heads]
  std::vector<float> k;  // [num_kv_heads]
  std::vector<float> v;  // [num_kv_heads]
};

struct Targets {
  bool q = false;  // k and v are always calibrated
};

// Scales that map the largest magnitude to the largest finite E4M3 value: range / 448. With the strategy
// tensor, the greatest of a layer's heads counts for all of them. `q` is left empty unless it is a target.
// Throws Error{invalid_argument} naming layer, tensor and head of a range that is zero, infinite or NaN, or
// so small or large that its scale would be refused when it is read.
kv::KvScales scales_from_ranges(const std::vector<LayerRanges>& layers, kv::ScaleStrategy strategy,
                                Targets targets = {});

// The same for one layer, whose number is for the Error.
kv::LayerScales layer_scales(const LayerRanges& ranges, int layer, kv::ScaleStrategy strategy,
                             Targets targets = {});

// The largest |x| of each head over all rows, joined with what `ranges` [num_heads] holds already.
void widen(std::span<float> ranges, const model::HeadRows& rows);

}  // namespace octet::calibrate
