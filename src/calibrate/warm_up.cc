#include "calibrate/warm_up.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <random>
#include <utility>

#include "base/error.h"
#include "calibrate/largest_observer.h"
#include "calibrate/sample_runner.h"
#include "numeric/fp8.h"

namespace octet::calibrate {

namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffffu;

float largest_stored(KvDtype dtype) { return dtype == KvDtype::fp8_e5m2 ? fp8_e5m2::max : fp8_e4m3::max; }

// Rows whose magnitude is above limit; NaN is.
std::int64_t count_above(const float* row, int size, float limit) {
  const std::uint32_t most = std::bit_cast<std::uint32_t>(limit);
  std::int32_t above = 0;
  for (int i = 0; i < size; ++i) above += (std::bit_cast<std::uint32_t>(row[i]) & kMagnitude) > most ? 1 : 0;
  return above;
}

}  // namespace

std::vector<std::int32_t> random_tokens(int count, int vocab_size, std::uint64_t seed) {
  // The generator is defined to the bit by the standard, its distributions are not.
  std::mt19937_64 generator(seed);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  for (std::int32_t& id : ids)
    id = static_cast<std::int32_t>(generator() % static_cast<std::uint64_t>(vocab_size));
  return ids;
}

std::vector<LayerRanges> ranges_of_tokens(model::Model& model, std::span<const std::int32_t> ids,
                                          int step_tokens) {
  LargestObserver observer({.targets = {.q = true}}, model.config());
  const int tokens = static_cast<int>(ids.size());
  SampleRunner runner(model, observer, std::min(step_tokens, tokens), tokens);
  runner.add({ids.begin(), ids.end()});
  runner.flush();
  return observer.ranges();
}

std::vector<LayerRanges> with_headroom(std::vector<LayerRanges> ranges) {
  for (LayerRanges& layer : ranges)
    for (std::vector<float>* heads : {&layer.q, &layer.k, &layer.v})
      for (float& range : *heads) range *= kWarmUpHeadroom;
  return ranges;
}

WarmUpObserver::WarmUpObserver(kv::KvCache& cache, kv::ScaleStrategy strategy, bool from_first_prompt)
    : cache_(cache), strategy_(strategy), waiting_(from_first_prompt) {}

void WarmUpObserver::observe_qkv(int layer, const model::HeadRows&, const model::HeadRows& k,
                                 const model::HeadRows& v) {
  if (waiting_) {
    set_scales(layer, k, v);
    if (layer + 1 == cache_.layout().num_layers()) waiting_ = false;
  }
  const auto index = static_cast<std::size_t>(layer);
  const kv::LayerDtypes& dtypes = cache_.layout().layers[index];
  count(k, dtypes.k, cache_.scales().layers[index].k);
  count(v, dtypes.v, cache_.scales().layers[index].v);
}

void WarmUpObserver::set_scales(int layer, model::HeadRows k, model::HeadRows v) {
  if (layer == 0) prompt_tokens_ = expected_tokens_ == 0 ? k.num_tokens : expected_tokens_;
  OCTET_CHECK(prompt_tokens_ <= k.num_tokens);
  k.num_tokens = v.num_tokens = prompt_tokens_;
  const auto heads = static_cast<std::size_t>(k.num_heads);
  LayerRanges ranges{{}, std::vector<float>(heads), std::vector<float>(heads)};
  widen(ranges.k, k);
  widen(ranges.v, v);
  cache_.set_scales(layer, layer_scales(with_headroom({std::move(ranges)}).front(), layer, strategy_));
}

void WarmUpObserver::count(const model::HeadRows& rows, KvDtype dtype, const std::vector<float>& scales) {
  if (!takes_scale(dtype)) return;
  for (int token = 0; token < rows.num_tokens; ++token)
    for (int head = 0; head < rows.num_heads; ++head)
      saturated_ +=
          count_above(rows.data + token * rows.stride + static_cast<std::int64_t>(head) * rows.head_dim,
                      rows.head_dim, scales[static_cast<std::size_t>(head)] * largest_stored(dtype));
  stored_ += static_cast<std::int64_t>(rows.num_tokens) * rows.num_heads * rows.head_dim;
}

}  // namespace octet::calibrate
