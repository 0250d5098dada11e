// A layer of a KvCache as the public API shows it.
#pragma once

#include <octet/cache_memory.h>

#include "kv/kv_cache.h"

namespace octet::llm {

// Throws Error{invalid_argument} for a layer that is not there.
LayerCacheMemory cache_memory(const kv::KvCache& cache, int layer);

}  // namespace octet::llm
