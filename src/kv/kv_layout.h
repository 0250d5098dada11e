// KvLayout: the arithmetic of the paged KV cache. See kernels/kv_view.h for the element order.
//
// Keys and values have a dtype each, and every layer its own two, so that layers which FP8 hurts most may stay
// in 16 bits.
//
// Layers are grouped by their window, the number of latest tokens that they attend to. A block belongs to one
// group: it holds the same tokens in all layers of it. Every group has blocks of its own, so that those which a
// window has left behind can be freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "numeric/dtype.h"

namespace octet::kv {

// How one layer's keys and values are stored.
struct LayerDtypes {
  KvDtype k = KvDtype::bfloat16;
  KvDtype v = KvDtype::bfloat16;

  bool operator==(const LayerDtypes&) const = default;
};

// Layers that share their blocks.
struct KvGroup {
  int window = 0;                // tokens; blocks wholly behind them are not read again. 0 = all are
  std::vector<int> layers = {};  // rising

  bool operator==(const KvGroup&) const = default;
};

struct KvLayout {
  std::vector<LayerDtypes> layers;  // [num_layers]
  std::vector<int> windows;         // [num_layers] KvGroup::window of each; empty = 0 everywhere
  int num_kv_heads = 0;
  int head_dim = 0;
  int block_size = 16;  // tokens

  KvLayout() = default;
  // The same dtypes in every layer.
  KvLayout(int num_layers, int kv_heads, int head_size, int tokens_a_block, KvDtype k, KvDtype v);

  // Throws Error{invalid_argument} unless every number is positive, block_size is 8, 16, 32, 64 or 128, and
  // there are no windows or one a layer, none negative.
  void validate() const;

  int num_layers() const { return static_cast<int>(layers.size()); }
  std::int64_t k_block_bytes(int layer) const;               // K of one block of one layer
  std::int64_t v_block_bytes(int layer) const;               // V of the same
  std::int64_t bytes_per_token() const;                      // K and V of all layers
  std::int64_t bytes_per_block() const;                      // block_size * bytes_per_token
  std::int64_t bytes_per_block(const KvGroup& group) const;  // of its layers
  std::int64_t blocks_for(std::int64_t tokens) const;        // rounded up

  int window(int layer) const;
  bool has_windows() const;
  // One for each window that layers have, rising; never empty.
  std::vector<KvGroup> groups() const;

  // For people: "fp8_e4m3", "k float16, v fp8_e4m3", "fp8_e4m3 (28 layers), float16 (2 layers)".
  std::string describe_dtypes() const;
};

}  // namespace octet::kv
