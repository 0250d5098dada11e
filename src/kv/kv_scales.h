// KvScales: the scales of one cache, per layer and KV head; stored = value / scale.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::kv {

enum class ScaleStrategy { tensor, attn_head };

// One layer: a value a KV head (a per-tensor scale is repeated num_kv_heads times).
struct LayerScales {
  std::vector<float> k;  // [num_kv_heads]
  std::vector<float> v;  // [num_kv_heads]
  std::vector<float> q;  // [num_heads], or empty where the checkpoint has none that is usable
};

struct KvScales {
  ScaleStrategy strategy = ScaleStrategy::tensor;
  std::vector<LayerScales> layers;  // [num_layers]

  // Scales of 1.0 everywhere.
  static KvScales ones(int num_layers, int num_kv_heads);
  // A hash of all k and v scales: blocks written under another set must never be reused.
  std::uint64_t fingerprint() const;
};

}  // namespace octet::kv
