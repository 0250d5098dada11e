// What the KV cache of an LLM is made of: its dtype, its scales and how many blocks it gets.
#pragma once

#include <octet/kv_cache_options.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kv/kv_capacity.h"
#include "kv/kv_layout.h"
#include "kv/kv_scales.h"
#include "model/config.h"
#include "model/kv_scale_loading.h"

namespace octet::llm {

struct CacheChoice {
  kv::LayerDtypes dtypes;        // of every layer but those in skip_layers
  std::vector<int> skip_layers;  // rising
  KvDtype skip_dtype;            // of keys and values there
  kv::KvScales scales;
  std::string scale_source;          // as KvCacheStats has it
  std::string scale_strategy;        // the same
  std::vector<std::string> notices;  // what a person should know about the choice
};

// Resolves vLLM's kv_cache_dtype: auto (what the checkpoint asks for; else float16, or float32 for a float32
// model) or one of kv_cache_dtype_names(), for keys, for values and for the layers that are skipped.
// With `calculated`, the scales of the checkpoint are left aside for others that are yet to be calculated.
// Bad scales in the checkpoint (report.error) are an error where they would be used, and a notice elsewhere.
// Throws Error{invalid_argument} naming the option for any other value, a layer that is not there, or a cache
// that has no use for scales that were to be calculated; report.error, also where it is about the config.
CacheChoice choose_cache(const KvCacheDtypeOptions& options, const model::ModelConfig& config,
                         const model::KvScaleReport& report, bool calculated = false);

kv::KvLayout cache_layout(const model::ModelConfig& config, const CacheChoice& choice, int block_size);

// The same for an engine, whose sequences have at most max_model_len tokens: layers whose window is shorter
// give the blocks behind it back.
kv::KvLayout engine_layout(const model::ModelConfig& config, const CacheChoice& choice, int block_size,
                           int max_model_len);

// Memory that the system can give now, bytes; 0 where it does not say.
std::int64_t available_memory_bytes();

// What a person should know of a cache that is larger than the memory that the system can give now: it starts,
// and whoever fills it may be killed. Empty where there is room.
std::string describe_scarce_memory(std::int64_t cache_bytes);

// Blocks of the cache, as KvCapacity counts them. With `memory_bytes` 0: max_num_seqs sequences of
// max_model_len, but no more than a quarter of the memory that is available, and never less than one sequence.
// Throws Error{out_of_memory} where `memory_bytes` are more than the machine has, or do not hold one sequence,
// saying what max_model_len would fit; invalid_argument where they are negative.
std::int64_t choose_num_blocks(const kv::KvLayout& layout, const kv::KvDemand& demand, int max_num_seqs,
                               std::int64_t memory_bytes);

}  // namespace octet::llm
