#include "calibrate/largest_observer.h"

#include "calibrate/observer_state.h"

namespace octet::calibrate {

using model::HeadRows;

LargestObserver::LargestObserver(const ObserverOptions& options, const model::ModelConfig& config)
    : options_(options), index_(config, options.targets), largest_(index_.size(), 0.0f) {}

void LargestObserver::observe_qkv(int layer, const HeadRows& q, const HeadRows& k, const HeadRows& v) {
  const std::array<const HeadRows*, 3> tensors = {&q, &k, &v};
  for (const int tensor : HeadIndex::kTensors) {
    if (index_.heads(tensor) == 0) continue;
    const std::size_t first = index_.first(static_cast<std::size_t>(layer), tensor);
    const HeadRows& rows = *tensors[static_cast<std::size_t>(tensor)];
    widen(std::span(largest_).subspan(first, index_.heads(tensor)), rows);
    observe_heads(first, rows);
  }
}

std::vector<files::OwnedTensor> LargestObserver::state() const {
  std::vector<files::OwnedTensor> tensors;
  tensors.push_back(state_tensor("largest", std::span<const float>(largest_)));
  return tensors;
}

void LargestObserver::restore(std::span<const files::TensorView> state) {
  restore_tensor(state, "largest", std::span<float>(largest_));
}

}  // namespace octet::calibrate
