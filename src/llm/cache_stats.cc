#include "llm/cache_stats.h"

namespace octet::llm {

KvCacheStats cache_stats(const EngineSetup& setup) {
  const kv::KvCache& cache = *setup.cache;
  KvCacheStats stats;
  stats.dtype = cache.layout().describe_dtypes();
  stats.k_dtype = dtype_name(setup.cache_dtypes.k);
  stats.v_dtype = dtype_name(setup.cache_dtypes.v);
  stats.skip_layers = setup.skip_layers;
  stats.bytes_per_token = cache.layout().bytes_per_token();
  stats.block_size = cache.layout().block_size;
  stats.num_blocks = cache.pool().num_blocks();
  stats.total_bytes = cache.total_bytes();
  stats.capacity_tokens = stats.num_blocks * stats.block_size;
  stats.used_blocks = cache.pool().num_blocks() - cache.pool().num_free();
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
