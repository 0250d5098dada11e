// ScaleObserver: what watches a model over a dataset and ends in a range for every layer and head.
//
// Memory does not grow with the number of samples, and all that was seen can be saved and taken up again.
// Used by one thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/layer_ranges.h"
#include "files/safetensors_writer.h"
#include "kv/kv_scales.h"
#include "model/attention_observer.h"
#include "model/config.h"

namespace octet::calibrate {

// Rows [begin, end) of a step are tokens of one sample, in its order; `last` where the sample ends with them.
struct SampleRows {
  int begin;
  int end;
  bool last;
};

class ScaleObserver : public model::AttentionObserver {
 public:
  // Says what the rows of the next step are; together they cover it.
  virtual void begin_step(std::span<const SampleRows> samples) = 0;
  // The magnitude that the largest finite E4M3 value shall stand for, [num_layers]. q is empty where it is no
  // target. With the strategy tensor, heads of one layer may still differ: the greatest counts.
  virtual std::vector<LayerRanges> ranges() const = 0;
  // Everything seen, between samples.
  virtual std::vector<files::OwnedTensor> state() const = 0;
  // The opposite. Throws Error{invalid_file} naming the tensor that is missing or of another shape.
  virtual void restore(std::span<const files::TensorView> state) = 0;
};

// Spelled as the flag has them.
enum class ObserverKind {
  static_minmax,  // the largest magnitude of all
  minmax,         // moving averages of each sample's minimum and maximum, as llm-compressor's minmax
  mse,            // the clip that minimises the squared error of what is stored
  percentile,     // the magnitude that so many percent of the values do not exceed
};

struct ObserverOptions {
  ObserverKind kind = ObserverKind::static_minmax;
  double percentile = 99.99;  // (0, 100], for the kind percentile
  kv::ScaleStrategy strategy = kv::ScaleStrategy::tensor;
  Targets targets;
};

// Throws Error{invalid_argument} for a name that is none of the kinds, listing them.
ObserverKind parse_observer(const std::string& name);
std::string_view observer_name(ObserverKind kind);

std::unique_ptr<ScaleObserver> make_observer(const ObserverOptions& options, const model::ModelConfig& config);

}  // namespace octet::calibrate
