// The figures of an engine's cache.
#pragma once

#include <octet/kv_cache_options.h>

#include "llm/engine_setup.h"

namespace octet::llm {

// What a group is; its blocks are left 0.
KvCacheGroup describe_group(const kv::KvLayout& layout, const kv::KvGroup& group);

KvCacheStats cache_stats(const EngineSetup& setup);

}  // namespace octet::llm
