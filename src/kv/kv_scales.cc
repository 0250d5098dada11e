#include "kv/kv_scales.h"

#include <bit>

namespace octet::kv {

KvScales KvScales::ones(int num_layers, int num_kv_heads) {
  const std::vector<float> heads(static_cast<std::size_t>(num_kv_heads), 1.0f);
  KvScales scales;
  scales.layers.assign(static_cast<std::size_t>(num_layers), LayerScales{heads, heads, {}});
  return scales;
}

std::uint64_t KvScales::fingerprint() const {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, 64 bits, over whole words
  const auto mix = [&](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3u; };
  mix(layers.size());
  for (const LayerScales& layer : layers) {
    for (const std::vector<float>* values : {&layer.k, &layer.v}) {
      mix(values->size());
      for (float value : *values) mix(std::bit_cast<std::uint32_t>(value));
    }
  }
  return hash;
}

}  // namespace octet::kv
