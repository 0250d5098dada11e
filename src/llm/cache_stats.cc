#include "llm/cache_stats.h"

namespace octet::llm {

KvCacheGroup describe_group(const kv::KvLayout& layout, const kv::KvGroup& group) {
  kv::KvLayout part = layout;
  part.layers.clear();
  part.windows.clear();
  for (const int layer : group.layers) part.layers.push_back(layout.layers[static_cast<std::size_t>(layer)]);
  KvCacheGroup described;
  described.window = group.window;
  described.layers = group.layers;
  described.dtype = part.describe_dtypes();
  described.bytes_per_token = part.bytes_per_token();
  return described;
}

KvCacheStats cache_stats(const EngineSetup& setup) {
  const kv::KvCache& cache = *setup.cache;
  KvCacheStats stats;
  stats.dtype = cache.layout().describe_dtypes();
  stats.k_dtype = dtype_name(setup.cache_dtypes.k);
  stats.v_dtype = dtype_name(setup.cache_dtypes.v);
  stats.skip_layers = setup.skip_layers;
  stats.bytes_per_token = cache.layout().bytes_per_token();
  stats.block_size = cache.layout().block_size;
  for (std::size_t i = 0; i < cache.groups().size(); ++i) {
    const kv::BlockPool& pool = cache.pool(static_cast<int>(i));
    stats.num_blocks += pool.num_blocks();
    stats.used_blocks += pool.num_used();
    stats.groups.push_back(describe_group(cache.layout(), cache.groups()[i]));
    stats.groups.back().num_blocks = pool.num_blocks();
    stats.groups.back().used_blocks = pool.num_used();
  }
  stats.total_bytes = cache.total_bytes();
  stats.capacity_tokens = setup.capacity_tokens;
  stats.max_concurrency = static_cast<double>(setup.capacity_tokens) / setup.max_model_len;
  stats.scale_source = setup.scale_source;
  stats.scale_strategy = setup.scale_strategy;
  stats.attention_math = setup.attention_math;
  if (setup.warm_up) {
    stats.stored_values = setup.warm_up->stored_values();
    stats.saturated_values = setup.warm_up->saturated_values();
  }
  return stats;
}

}  // namespace octet::llm
