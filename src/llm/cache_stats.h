// The figures of an engine's cache.
#pragma once

#include <octet/kv_cache_options.h>

#include "llm/engine_setup.h"

namespace octet::llm {

KvCacheStats cache_stats(const EngineSetup& setup);

}  // namespace octet::llm
