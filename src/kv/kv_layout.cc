#include "kv/kv_layout.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "kernels/kv_view.h"

namespace octet::kv {

KvLayout::KvLayout(int num_layers, int kv_heads, int head_size, int tokens_a_block, KvDtype k, KvDtype v)
    : layers(static_cast<std::size_t>(std::max(num_layers, 0)), LayerDtypes{k, v}),
      num_kv_heads(kv_heads),
      head_dim(head_size),
      block_size(tokens_a_block) {}

void KvLayout::validate() const {
  const auto refuse = [](const char* field, const char* expected, int found) {
    throw Error(ErrorCode::invalid_argument,
                std::string("expected ") + expected + ", found " + std::to_string(found), field);
  };
  if (layers.empty()) refuse("num_layers", "1 or more", 0);
  if (num_kv_heads <= 0) refuse("num_kv_heads", "1 or more", num_kv_heads);
  if (head_dim <= 0) refuse("head_dim", "1 or more", head_dim);
  if (block_size != 8 && block_size != 16 && block_size != 32 && block_size != 64 && block_size != 128)
    refuse("block_size", "8, 16, 32, 64 or 128 tokens", block_size);
  if (!windows.empty() && windows.size() != layers.size())
    refuse("windows", "one a layer", static_cast<int>(windows.size()));
  for (const int window : windows)
    if (window < 0) refuse("windows", "0 or more", window);
}

std::int64_t KvLayout::k_block_bytes(int layer) const {
  const KvDtype dtype = layers[static_cast<std::size_t>(layer)].k;
  return num_kv_heads * kernels::head_block_bytes(dtype, block_size, head_dim);
}

std::int64_t KvLayout::v_block_bytes(int layer) const {
  const KvDtype dtype = layers[static_cast<std::size_t>(layer)].v;
  return num_kv_heads * kernels::head_block_bytes(dtype, block_size, head_dim);
}

std::int64_t KvLayout::bytes_per_block() const {
  std::int64_t bytes = 0;
  for (int layer = 0; layer < num_layers(); ++layer) bytes += k_block_bytes(layer) + v_block_bytes(layer);
  return bytes;
}

int KvLayout::window(int layer) const {
  return windows.empty() ? 0 : windows.at(static_cast<std::size_t>(layer));
}

std::int64_t KvLayout::bytes_per_block(const KvGroup& group) const {
  std::int64_t bytes = 0;
  for (const int layer : group.layers) bytes += k_block_bytes(layer) + v_block_bytes(layer);
  return bytes;
}

bool KvLayout::has_windows() const {
  return std::any_of(windows.begin(), windows.end(), [](int window) { return window > 0; });
}

std::vector<KvGroup> KvLayout::groups() const {
  std::map<int, std::vector<int>> by_window;
  for (int layer = 0; layer < num_layers(); ++layer) by_window[window(layer)].push_back(layer);
  std::vector<KvGroup> groups;
  for (auto& [window, members] : by_window) groups.push_back({window, std::move(members)});
  return groups;
}

std::int64_t KvLayout::bytes_per_token() const { return bytes_per_block() / block_size; }

std::int64_t KvLayout::blocks_for(std::int64_t tokens) const { return (tokens + block_size - 1) / block_size; }

std::string KvLayout::describe_dtypes() const {
  std::vector<std::pair<LayerDtypes, int>> kinds;  // with the number of layers of each
  for (const LayerDtypes& layer : layers) {
    const auto same = [&](const auto& kind) { return kind.first == layer; };
    if (const auto kind = std::find_if(kinds.begin(), kinds.end(), same); kind != kinds.end())
      ++kind->second;
    else
      kinds.emplace_back(layer, 1);
  }
  std::stable_sort(kinds.begin(), kinds.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [dtypes, count] : kinds) {
    const std::string k(dtype_name(dtypes.k)), v(dtype_name(dtypes.v));
    text += (text.empty() ? "" : ", ") + (k == v ? k : "k " + k + ", v " + v);
    if (kinds.size() > 1) text += " (" + std::to_string(count) + (count == 1 ? " layer)" : " layers)");
  }
  return text;
}

}  // namespace octet::kv
